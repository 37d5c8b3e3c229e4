"""Say where the time of a full run goes: start-up, the stages' own work, and DVC.

Run from the repository's root, in a fresh clone (nothing cached), with nothing
else to do:

    python -m benchmarks.startup

It runs `dvc repro` and notes when each stage starts and ends; start-up is the
time that importing a stage takes, measured apart.
"""

import re
import subprocess
import sys
import time
from collections import defaultdict

STAGES = [
    "download",
    "prepare",
    "split",
    "augment",
    "pretrained",
    "features",
    "train",
    "evaluate",
    "compare",
]


def main() -> None:
    """Print a line a stage, and what is left for DVC."""
    startup = {stage: seconds_to_import(stage) for stage in STAGES}
    seconds, runs, total = run_everything()
    print(f"{'stage':12} {'runs':>4} {'seconds':>8} {'start-up':>9} {'own work':>9}")
    for stage in STAGES:
        starting = runs[stage] * startup[stage]
        print(
            f"{stage:12} {runs[stage]:4} {seconds[stage]:8.1f} {starting:9.1f} "
            f"{seconds[stage] - starting:9.1f}"
        )
    print(f"{'DVC':12} {'':4} {total - sum(seconds.values()):8.1f}")
    print(f"{'in all':12} {sum(runs.values()):4} {total:8.1f}")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", "repro"], check=True, stdout=subprocess.DEVNULL)
    print(f"dvc repro with nothing to do: {time.perf_counter() - started:.1f} s")


def seconds_to_import(stage: str) -> float:
    """Return the seconds in which Python starts and imports a stage, the second time."""
    command = [sys.executable, "-c", f"import stages.{stage}"]
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def run_everything() -> tuple[dict[str, float], dict[str, int], float]:
    """Run the pipeline; return each stage's seconds and number of runs, and the seconds in all."""
    seconds: dict[str, float] = defaultdict(float)
    runs: dict[str, int] = defaultdict(int)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], stdout=subprocess.PIPE, text=True
    )
    stage, started = "", began
    for line in process.stdout or ():
        now = time.perf_counter()
        if begun := re.match(r"Running stage '(\w+)", line):
            stage, started = begun[1], now
            runs[stage] += 1
        elif line.startswith(f"{stage}: "):  # the line in which it says what it did, its last
            seconds[stage] += now - started
    if process.wait() != 0:
        sys.exit("dvc repro failed; see above.")
    return seconds, runs, time.perf_counter() - began


if __name__ == "__main__":
    main()
