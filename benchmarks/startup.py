"""Say where the time of a full run of the sample goes: start-up, arithmetic, files, DVC.

Run from the repository's root, on a machine with nothing else to do; it takes
six to nine minutes on two cores:

    python -m benchmarks.startup

The first table says which stages import TensorFlow, and the seconds in which
Python starts and imports each of them. Then `dvc repro --force` runs in a clone
without a cache; unforced, it would skip `evaluate` for models that come out as
dvc.lock has them. Of a stage's seconds, `start-up` is that import; the rest is shared
between `arithmetic` and `kernel` (files and memory) as its processor time is.
What is left of the whole is DVC's own: reading the graph, hashing, and keeping
outputs in its cache.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks import run_benchmark
from benchmarks.stage_times import Run, make_clone, run_dvc

STARTS = 3


def main() -> None:
    """Print both tables and the seconds of `dvc repro` with nothing to do."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    names = sorted(path.stem for path in Path("stages").glob("[!_]*.py"))
    imports = pd.DataFrame([import_of(name) for name in names], index=names)
    print(imports.round(2).to_string())
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        make_clone(clone)
        everything = run_dvc(clone, "repro", "--force")
        nothing = run_dvc(clone, "repro")
    table = where_time_goes(everything, imports["seconds"])
    print(table.round(1).to_string())
    total = table.loc["in all"]
    parts = ["start-up", "arithmetic", "kernel", "DVC"]
    print(", ".join(f"{part} {total[part] / total['seconds']:.0%}" for part in parts))
    print(f"dvc repro with nothing to do: {nothing.seconds:.1f} s")


def import_of(stage: str) -> dict[str, object]:
    """Return the shortest of some imports in a new Python, and whether TensorFlow came along."""
    # As with `python -m`, where a stage imports no more of Keras than it needs.
    program = (
        f"import sys; sys.argv[0] = '-m'; import stages.{stage}; print('tensorflow' in sys.modules)"
    )
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        times.append(time.perf_counter() - started)
    return {"seconds": min(times), "tensorflow": done.stdout.strip() == "True"}


def where_time_goes(run: Run, import_seconds: "pd.Series[float]") -> pd.DataFrame:
    """Return a row a stage, all models together, one of DVC and one of all."""
    by_stage = run.stages.groupby("stage", sort=False)
    sums = by_stage.sum()
    table = pd.DataFrame({"runs": by_stage.size()})
    table["seconds"] = sums["seconds"]
    imports = table["runs"] * import_seconds.loc[table.index]
    # Measured by itself, an import may take longer than within a light stage.
    table["start-up"] = imports.clip(upper=table["seconds"])
    own = table["seconds"] - table["start-up"]
    in_kernel = sums["kernel_seconds"] / (sums["user_seconds"] + sums["kernel_seconds"])
    table["arithmetic"] = own * (1 - in_kernel)
    table["kernel"] = own * in_kernel
    table["MB read"] = sums["read_bytes"] / 1e6
    table["MB written"] = sums["written_bytes"] / 1e6
    table.loc["DVC", ["seconds", "DVC"]] = run.seconds - table["seconds"].sum()
    table = table.fillna(0)
    table.loc["in all"] = table.sum()
    return table


if __name__ == "__main__":
    run_benchmark(main)
