"""Studies: the workspace where DVC was killed while it copied it."""

from pathlib import Path

import pytest
from study_work import PARAMS, git

from trashnet.errors import PipelineError
from trashnet.study import __main__ as study_command
from trashnet.study.workspace import NOTE, check_workspace, note_workspace, settle_workspace


def change(repository: Path) -> None:
    (repository / "params.yaml").write_text(f"{PARAMS}more: 1\n")


def test_study_does_not_go_on_from_what_dvc_left_in_the_middle_of_its_copy(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(repository, "branch", "-m", "work")
    note_workspace(repository)
    git(repository, "checkout", "-q", "--detach")
    monkeypatch.chdir(repository)

    status = study_command.main(["alpha=0.2,0.5"])

    assert status == 1
    assert "`git checkout --force work`, and `git stash pop`" in capsys.readouterr().err


def test_values_that_dvc_left_in_the_workspace_are_not_taken_for_a_persons(
    repository: Path,
) -> None:
    note_workspace(repository)
    change(repository)

    with pytest.raises(PipelineError, match="`git stash pop` if"):
        check_workspace(repository)


def test_a_workspace_as_it_was_is_free_to_be_changed_after_a_study_was_killed(
    repository: Path,
) -> None:
    note_workspace(repository)
    check_workspace(repository)

    change(repository)

    check_workspace(repository)


def test_a_branch_that_a_person_went_to_after_a_study_was_killed_is_no_fault(
    repository: Path,
) -> None:
    note_workspace(repository)

    git(repository, "checkout", "-q", "-b", "other")

    check_workspace(repository)


def test_changes_while_dvc_ran_are_no_fault_of_dvc_that_ended_by_itself(repository: Path) -> None:
    note_workspace(repository)
    change(repository)

    settle_workspace(repository, status=1)

    check_workspace(repository)


def test_dvc_killed_in_the_middle_of_its_copy_stops_the_study(repository: Path) -> None:
    note_workspace(repository)
    git(repository, "checkout", "-q", "--detach")

    with pytest.raises(PipelineError, match="left HEAD detached"):
        settle_workspace(repository, status=-9)


def test_a_note_that_is_gone_when_dvc_ends_is_no_fault(repository: Path) -> None:
    settle_workspace(repository, status=0)

    assert not (repository / NOTE).exists()
