"""Studies: what is left where one is ended in the middle of a run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from params_work import write_params
from study_work import commit_files

from trashnet.study.execution import _guard

RUN_STUDY = """
import signal
import runpy
import sys
# What a shell starts in the background ignores Ctrl-C, and all that it starts does, too; so it is
# with SIGHUP and nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.argv = ["study", "seed=1"]
runpy.run_module("trashnet.study", run_name="__main__")
"""


@contextmanager
def training_study(repository: Path, stage: str) -> Iterator["subprocess.Popen[str]"]:
    """Yield a study whose first run is at this command of its one stage."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=repository, check=True)
    started = repository / "started"
    graph = f"stages:\n  train:\n    cmd: touch {started} && {stage}\n"
    write_params({}, repository)
    commit_files(repository, {"dvc.yaml": graph, ".gitignore": "started\n"})
    study = subprocess.Popen(
        [sys.executable, "-c", RUN_STUDY],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not started.exists():
            assert study.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        assert copies_in(repository)
        yield study
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)


def copies_in(repository: Path) -> list[Path]:
    """Return the copies in which DVC runs experiments."""
    return [*(repository / ".dvc" / "tmp" / "exps" / "standalone").glob("tmp*")]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_ended_study_ends_its_training_and_leaves_no_copy(
    ending: signal.Signals, repository: Path
) -> None:
    with training_study(repository, "sleep 300") as study:
        study.send_signal(ending)
        _, errors = study.communicate(timeout=120)

    assert errors.endswith("study: stopped; the same command goes on where this ended.\n")
    assert not copies_in(repository)


def test_ending_a_study_twice_does_not_leave_its_training_alone(repository: Path) -> None:
    with training_study(repository, "trap '' INT && sleep 8") as study:
        study.send_signal(signal.SIGINT)
        time.sleep(2)
        study.send_signal(signal.SIGINT)
        study.communicate(timeout=120)

    assert not copies_in(repository)


def test_a_killed_study_ends_its_training_and_leaves_no_copy(repository: Path) -> None:
    with training_study(repository, "sleep 300") as study:
        study.kill()
        study.communicate(timeout=120)

        until = time.monotonic() + 60
        while copies_in(repository) and time.monotonic() < until:
            time.sleep(0.5)

    assert not copies_in(repository)


def test_training_that_does_not_stop_when_asked_is_killed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(2, signal.SIG_IGN); print(flush=True); time.sleep(30)",
    ]
    monkeypatch.setattr("trashnet.study.execution.SECONDS_TO_STOP", 1)
    with subprocess.Popen(deaf, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout
        leader.stdout.readline()

        with _guard(leader.pid):
            """It ends before it has said that all is done."""

        assert leader.wait(timeout=20) == -signal.SIGKILL
