"""A study of the real graph that is killed and started again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from clone_work import SMALL, Clone

pytestmark = pytest.mark.slow


def test_a_killed_study_goes_on_and_ends_in_the_same_report(tmp_path: Path) -> None:
    """A study of two runs is killed in its second, started again, and held against a whole one."""
    (tmp_path / "study").mkdir()
    study = Clone.of_working_tree(tmp_path / "study")
    command = [sys.executable, "-m", "trashnet.study", "alpha=0,1", "--name", "try"]
    command += [flag for setting in SMALL for flag in ("-S", setting)]
    with (tmp_path / "said.txt").open("w") as said:
        killed = subprocess.Popen(
            command,
            cwd=study.folder,
            env=study.environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    while not (first := study.study_runs()):
        assert killed.poll() is None, (tmp_path / "said.txt").read_text()
        time.sleep(0.1)
    copies = study.folder / ".dvc/tmp/exps/standalone"
    of_first = set(copies.glob("*"))
    while of_first.issuperset(model.parents[1] for model in copies.glob("*/models/*.keras")):
        assert killed.poll() is None, (tmp_path / "said.txt").read_text()
        time.sleep(0.1)
    assert len(study.study_runs()) == 1
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    study.run(command)
    resumed = study.study_results()
    report = (study.folder / "reports/try/report.md").read_text()
    study.run(command)

    assert (study.folder / "reports/try/report.md").read_text() == report
    assert first.items() <= study.study_runs().items()  # neither repeated nor lost
    study.dvc("exp", "remove", *study.study_runs())
    shutil.rmtree(study.folder / ".dvc/cache/runs")  # else nothing is trained again
    study.run(command)
    pd.testing.assert_frame_equal(study.study_results(), resumed)
