"""Run DVC and say what each stage took; for the benchmarks of whole runs."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

HOOK = Path(__file__).parent / "hook"


def make_clone(folder: Path) -> None:
    """Clone the last commit of the repository in the working directory; its cache is empty."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)


def run_dvc(clone: Path, *arguments: str) -> tuple[pd.DataFrame, float]:
    """Run a DVC command, such as ``repro``, in a clone.

    Returns
    -------
    stages : DataFrame
        A row a stage that ran, in order: stage (without the model), seconds,
        user_seconds and kernel_seconds (of all cores, workers included),
        read_bytes and written_bytes (through system calls, not through maps).
    seconds : float
        Of the whole command.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as notes:
        environment = os.environ | {
            "CI": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(HOOK),
            "STAGE_TIMES": notes.name,
        }
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=clone,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - started
        columns = ["stage", "seconds", "user_seconds", "kernel_seconds"]
        columns += ["read_bytes", "written_bytes"]
        if os.fstat(notes.fileno()).st_size == 0:
            return pd.DataFrame(columns=columns), seconds
        return pd.read_json(notes, lines=True)[columns], seconds
