"""How stages fail: one sentence on standard error, exit status 1, no stack trace."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import tensorflow as tf

from trashnet.errors import PipelineError
from trashnet.stage import log, run_model_stage, run_stage

REPOSITORY = Path(__file__).parents[1]

CommandLine = Callable[..., None]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Set what `python -m stages.split ...` puts into sys.argv."""

    def set_argv(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["/somewhere/stages/split.py", *arguments])

    return set_argv


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where params.yaml is."""
    monkeypatch.chdir(REPOSITORY)


def failing_with(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_stage_runs_its_main(command_line: CommandLine) -> None:
    command_line()
    calls = []

    run_stage(lambda: calls.append("ran"))

    assert calls == ["ran"]


@pytest.mark.usefixtures("at_root")
def test_model_stage_gets_its_model(command_line: CommandLine) -> None:
    command_line("--model", "MobileNet")
    models: list[str] = []

    run_model_stage(models.append)

    assert models == ["MobileNet"]


@pytest.mark.usefixtures("at_root")
def test_model_that_params_do_not_name_is_refused(command_line: CommandLine) -> None:
    command_line("--model", "AlexNet")

    with pytest.raises(SystemExit, match="names no model AlexNet; take one of MobileNet, "):
        run_model_stage(lambda _: pytest.fail("the stage ran"))


def test_no_password_of_an_address_reaches_a_log(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line()

    log("24 files from https://me:secret@host/a.zip?sig=secret")

    assert capsys.readouterr().out == "split: 24 files from https://host/a.zip\n"
    with pytest.raises(SystemExit, match=r"^split: sftp://host/a\.zip could not be fetched\.$"):
        run_stage(failing_with(PipelineError("sftp://me:secret@host/a.zip could not be fetched.")))


def test_class_in_letters_that_the_terminal_lacks_is_named_by_their_numbers(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_line()
    written = BytesIO()
    terminal = TextIOWrapper(written, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)

    run_stage(lambda: log("3 files of 2 classes (Glas, \u5783)"))

    assert written.getvalue() == b"split: 3 files of 2 classes (Glas, \\u5783)\n"


def test_model_stage_needs_a_model(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line()

    with pytest.raises(SystemExit, match="2"):
        run_model_stage(lambda model: None)

    assert "--model" in capsys.readouterr().err


def test_unknown_argument_is_refused(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line("--alpha", "0.5")

    with pytest.raises(SystemExit, match="2"):
        run_stage(lambda: None)

    assert "--alpha" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PipelineError("no photos; name a folder."), "split: no photos; name a folder."),
        (KeyboardInterrupt(), "split: stopped by the keyboard"),
        (OSError(errno.ENOSPC, "No space left on device"), "split: No space left on device"),
        (BrokenProcessPool("ended abruptly"), "split: the system ended a worker process"),
        (MemoryError(), "split: memory ran out; free some and run the same command again."),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "split: memory ran out; free some"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "data/x.csv"),
            "data/x.csv is missing; run `dvc",
        ),
    ],
)
def test_failure_is_a_sentence_that_names_the_stage(
    command_line: CommandLine, error: BaseException, sentence: str
) -> None:
    command_line()

    with pytest.raises(SystemExit) as exit_:
        run_stage(failing_with(error))

    assert sentence in str(exit_.value.code)


def test_clock_that_no_zip_file_knows_is_told_before_any_work(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small machines without a battery start in 1970."""
    command_line()
    monkeypatch.setattr(time, "localtime", lambda: time.gmtime(0))

    with pytest.raises(SystemExit, match="split: the clock of this machine stands in 1970"):
        run_stage(failing_with(AssertionError("work was done")))


def test_programming_error_keeps_its_stack_trace(command_line: CommandLine) -> None:
    command_line()

    with pytest.raises(ZeroDivisionError):
        run_stage(failing_with(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["stages.evaluate", "--model", "MobileNet"], "evaluate: data/splits.csv is missing; run"),
        (["stages.train", "--model", "AlexNet"], "train: params.yaml names no model AlexNet"),
        (["trashnet", "predict", "x.jpg", "--model", "x.keras"], "trashnet: There is no model at"),
    ],
)
def test_our_sentence_is_all_that_a_person_sees(
    command: list[str], message: str, tmp_path: Path
) -> None:
    """TensorFlow is imported by each of them, and has a lot to say."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_log_line_names_the_stage(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line()

    log("40 photos in 6 classes")

    assert capsys.readouterr().out == "split: 40 photos in 6 classes\n"
