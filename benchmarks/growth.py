"""Measure how each stage's time and memory grow with the number of photos.

Run from the repository's root, on a machine with nothing else to do; it takes
about ten minutes on two cores:

    python -m benchmarks.growth

Photos are drawn at random (so that none is a near-duplicate of another), 256 x
192 pixels, six classes. Memory is what a stage and its workers allocate at
their peak (RssAnon, without the files that they map).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from matplotlib.figure import Figure
from PIL import Image
from ruamel.yaml import YAML

from trashnet.files import atomic_file

MODEL = "MobileNetV2"
CLASSES = ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
STAGES = [
    "download",
    "prepare",
    "split",
    "augment",
    f"pretrained --model {MODEL}",
    f"features --model {MODEL}",
    f"train --model {MODEL}",
    f"evaluate --model {MODEL}",
]
POLL_SECONDS = 0.05
PICTURE = Path("docs/growth.png")


def main() -> None:
    """Print a table and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=600, help="at 1x")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    rows = []
    for factor in options.factors:
        with tempfile.TemporaryDirectory() as folder:
            repository = Path(folder)
            lay_out(repository, options.photos * factor)
            for stage in STAGES:
                seconds, megabytes = measure(stage, repository)
                rows.append((stage.split()[0], options.photos * factor, seconds, megabytes))
                print(
                    f"{rows[-1][0]:12} {rows[-1][1]:7} photos {seconds:7.1f} s {megabytes:6.0f} MB"
                )
    table = pd.DataFrame(rows, columns=["stage", "photos", "seconds", "megabytes"])
    print(table.pivot_table(index="stage", columns="photos", sort=False).round(1).to_string())
    draw(table)


def lay_out(repository: Path, photos: int) -> None:
    """Write photos and a params.yaml for them into an empty folder."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["dataset"] = "generated"
    params["datasets"]["generated"] = params["datasets"]["sample"] | {
        "url": str(repository / "photos"),
        "image_size": [96, 128],
    }
    params |= {"models": [MODEL], "export": []}
    for phase in ("initial", "fine_tune"):
        params[phase]["epochs"] = 2
    YAML(typ="safe").dump(params, repository / "params.yaml")
    for name in CLASSES:
        (repository / "photos" / name).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw_photo, repository / "photos"), range(photos), chunksize=100))


def draw_photo(folder: Path, number: int) -> None:
    """Write one photo of smooth noise, tinted by its class."""
    random = np.random.default_rng(number)
    kind = number % len(CLASSES)
    coarse = random.integers(0, 200, (9, 12, 3)) + 9 * kind
    file = BytesIO()
    Image.fromarray(coarse.astype(np.uint8)).resize((256, 192)).save(file, "JPEG")
    (folder / CLASSES[kind] / f"{number}.jpg").write_bytes(file.getvalue())


def measure(stage: str, repository: Path) -> tuple[float, float]:
    """Run a stage; return its seconds and the megabytes allocated at its peak."""
    code = str(Path.cwd())
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", *f"stages.{stage}".split()],
        cwd=repository,
        env={"PYTHONPATH": code, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, allocated_kilobytes(process))
        time.sleep(POLL_SECONDS)
    if process.returncode != 0:
        sys.exit(f"{stage} failed in {repository}.")
    return time.perf_counter() - started, peak / 1000


def allocated_kilobytes(process: psutil.Process) -> int:
    """Return the anonymous memory of a process and its children."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            status = Path(f"/proc/{member.pid}/status").read_text()
        except OSError:  # it has just ended
            continue
        lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        total += sum(int(line.split()[1]) for line in lines)
    return total


def draw(table: pd.DataFrame) -> None:
    """Draw time and memory against photos, a line a stage."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for stage, of_stage in table.groupby("stage", sort=False):
        time_axes.plot(of_stage["photos"], of_stage["seconds"], "o-", label=stage)
        memory_axes.plot(of_stage["photos"], of_stage["megabytes"], "o-", label=stage)
    for axes, label in ((time_axes, "seconds"), (memory_axes, "megabytes allocated at the peak")):
        axes.set(xscale="log", yscale="log", xlabel="photos", ylabel=label)
        axes.grid(alpha=0.3)
    figure.legend(*time_axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    with atomic_file(PICTURE) as partial_file:
        figure.savefig(partial_file, dpi=80)


if __name__ == "__main__":
    main()
