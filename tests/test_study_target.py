"""Studies: where a report is written, and what it does not take the place of."""

from pathlib import Path

import pandas as pd
import pytest
from params_work import write_params

from trashnet.errors import PipelineError
from trashnet.study import __main__ as study_command
from trashnet.study.__main__ import check_target
from trashnet.study.grid import Run, make_grid


def reported(runs: list[Run], target: Path) -> None:
    """Leave what a report says of its runs."""
    target.mkdir(parents=True)
    pd.DataFrame({"experiment": [run.name for run in runs]}).to_csv(target / "results.csv")


@pytest.fixture(autouse=True)
def in_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/tmp/elsewhere", ".", "a/../.."])  # noqa: S108
def test_a_report_that_would_stand_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(PipelineError, match="is not below reports/"):
        check_target(Path("reports", name), [])


@pytest.mark.parametrize("name", ["comparison.md", "comparison.md/of"])
def test_a_name_that_a_file_has_is_refused(name: str) -> None:
    Path("reports").mkdir()
    Path("reports/comparison.md").touch()

    with pytest.raises(PipelineError, match=r"^reports/comparison\.md is a file"):
        check_target(Path("reports", name), [])


def test_the_report_of_another_study_of_the_same_parameters_is_kept() -> None:
    target = Path("reports/study-alpha")
    reported(make_grid(["alpha=0,0.5"], []), target)

    with pytest.raises(PipelineError, match="another --name, or `rm -r reports/study-alpha`"):
        check_target(target, make_grid(["alpha=0.5,1"], []))


def test_a_study_that_grows_renews_its_report() -> None:
    target = Path("reports/study-alpha")
    reported(make_grid(["alpha=0,0.5"], []), target)

    check_target(target, make_grid(["alpha=0,0.5,1", "seed=1..3"], []))


def test_a_name_that_is_refused_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params({})
    started: list[object] = []
    monkeypatch.setattr(study_command, "run_grid", lambda runs, **_: started.extend(runs))

    status = study_command.main(["seed=1..2", "--name", "../elsewhere"])

    assert status == 1
    assert "is not below reports/" in capsys.readouterr().err
    assert started == []
