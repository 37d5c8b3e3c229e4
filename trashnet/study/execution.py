"""One experiment, run by DVC in a process of its own, and what is left where that ends early."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trashnet.errors import PipelineError
from trashnet.study.git import git
from trashnet.study.grid import Run

SECONDS_TO_STOP = 30


def run_experiment(run: Run, folder: Path) -> str | None:
    """Run one experiment in a copy of the repository; return why it failed, or None.

    The copy (``dvc exp run --temp``) leaves the workspace as it is.

    Raises
    ------
    PipelineError
        If it is stopped in the moment in which DVC makes the copy out of the
        workspace, and DVC leaves that changed.
    """
    branch = git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip()
    overrides = [part for override in run.overrides for part in ("-S", override)]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", run.name, *overrides]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as dvc:
        try:
            output, _ = dvc.communicate()
        except KeyboardInterrupt:
            with _ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # To DVC and its stage, as a terminal would: it ends the stage and removes its copy.
                _signal_group(dvc, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    dvc.communicate(timeout=SECONDS_TO_STOP)
                _signal_group(dvc, signal.SIGKILL)
            if git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip() != branch:
                raise PipelineError(
                    f"DVC was stopped while it copied the workspace and left HEAD detached; run "
                    f"`git checkout --force {branch}`, and `git stash pop` if `git stash list` "
                    "names changes of yours."
                ) from None
            raise
    return None if dvc.returncode == 0 else reason_of(output, folder)


@contextmanager
def _ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Do what must be done whole, however often a person presses Ctrl-C."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _signal_group(leader: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def reason_of(output: str, folder: Path) -> str:
    """Return the lines of DVC's output that say why a run failed: a stage's sentence, if it can be.

    A stage that refuses ends with status 1 after its sentence; what it said
    before it crashed or was killed is no reason.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR")]
    if not errors:
        return lines[-1]
    before, error = lines[max(errors[0] - 1, 0)], lines[errors[0]]
    if "failed to run" not in error:
        return error
    if before.partition(":")[0] not in _stage_names(folder):
        return f"{before}; {error}"
    return before if error.endswith("exited with 1") else error


def _stage_names(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "stages").glob("*.py")}
