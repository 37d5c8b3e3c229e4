"""Run DVC and say what each stage took; for the benchmarks of whole runs."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

HOOK = Path(__file__).parent / "hook"
COLUMNS = [
    "stage",
    "seconds",
    "user_seconds",
    "kernel_seconds",
    "read_bytes",
    "written_bytes",
]


def make_clone(folder: Path) -> None:
    """Clone the last commit of the repository in the working directory; its cache is empty."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)


class Run(NamedTuple):
    """One DVC command.

    Attributes
    ----------
    stages : DataFrame
        A row a stage that ran, in order: stage (without the model), seconds,
        user_seconds and kernel_seconds (of all cores, workers included),
        read_bytes and written_bytes (through system calls, not through maps).
    seconds, processor_seconds : float
        Of the whole command.
    """

    stages: pd.DataFrame
    seconds: float
    processor_seconds: float


def run_dvc(clone: Path, *arguments: str) -> Run:
    """Run a DVC command, such as ``repro``, in a clone."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as notes:
        environment = os.environ | {
            "CI": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(HOOK),
            "STAGE_TIMES": notes.name,
        }
        began = time.perf_counter(), processor_seconds_of_children()
        subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=clone,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - began[0]
        processor_seconds = processor_seconds_of_children() - began[1]
        stages = pd.DataFrame([json.loads(line) for line in notes], columns=COLUMNS)
    return Run(stages, seconds, processor_seconds)


def processor_seconds_of_children() -> float:
    """Return the processor time of the commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
