"""One experiment, run by DVC in a process of its own, and what is left where that ends early."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trashnet.study.grid import Run
from trashnet.study.workspace import note_workspace, settle_workspace

SECONDS_TO_STOP = 30

GUARD = """
read -r done && exit
# To DVC and its stage, as a terminal would: it ends the stage and removes its copy.
kill -s INT -- "-$1"
while [ "$2" -gt 0 ] && kill -s 0 -- "-$1"; do
  sleep 1
  set -- "$1" "$(($2 - 1))"
done
kill -s KILL -- "-$1"
"""
"""Ends the process group $1 after at most $2 seconds, unless it is told that all is done."""


def run_experiment(run: Run, folder: Path) -> str | None:
    """Run one experiment in a copy of the repository; return why it failed, or None.

    The copy (``dvc exp run --temp``) leaves the workspace as it is.

    Raises
    ------
    PipelineError
        If it is stopped in the moment in which DVC makes the copy out of the
        workspace, and DVC leaves that changed.
    """
    note_workspace(folder)
    overrides = [part for override in run.overrides for part in ("-S", override)]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", run.name, *overrides]
    with (
        subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as dvc,
        _guard(dvc.pid) as guard,
    ):
        try:
            output, _ = dvc.communicate()
        except KeyboardInterrupt:
            with _ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if guard.stdin:
                    guard.stdin.close()
                # Before the guard is waited for, to which DVC lives until this knows that it ended.
                dvc.communicate()
                guard.wait()
            settle_workspace(folder, dvc.returncode)
            raise
        guard.communicate(b"done\n")
    settle_workspace(folder, dvc.returncode)
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


def _guard(leader: int) -> "subprocess.Popen[bytes]":
    """Start what ends a process and its group once this process ends or closes its input.

    A study that is killed cannot do so itself. The guard is in a session of
    its own, because what kills the study may kill all of its group.
    """
    return subprocess.Popen(
        ["sh", "-c", GUARD, "guard", str(leader), str(SECONDS_TO_STOP)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


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
