"""Studies: what is run and what is not, and how it stops."""

from pathlib import Path

import pytest
from params_work import write_params
from study_work import commit_files, finish, git, lock_of

from trashnet.errors import PipelineError
from trashnet.study import __main__ as study_command
from trashnet.study.execution import reason_of
from trashnet.study.experiments import check_fetched, find_experiments, run_grid
from trashnet.study.grid import Run, make_grid
from trashnet.study.nodes import _uncommitted_changes


def test_only_what_is_not_finished_runs(repository: Path) -> None:
    runs = make_grid(["seed=1..3"], [], repository)
    finish(runs[1], repository)
    executed = []

    def execute(run: Run, folder: Path) -> None:
        executed.append(run.seed)
        finish(run, folder)

    assert run_grid(runs, repository, execute) == {}
    assert executed == [1, 3]
    assert run_grid(runs, repository, execute) == {}
    assert executed == [1, 3]
    assert set(find_experiments(repository)) == {run.name for run in runs}


def test_runs_on_photos_of_before_do_not_pass_for_finished(repository: Path) -> None:
    runs = make_grid(["seed=1..2"], [], repository)
    finish(runs[0], repository)
    check_fetched(runs, repository)

    (repository / "dvc.lock").write_text(lock_of(photos="bb"))

    with pytest.raises(PipelineError, match=rf"dvc exp remove {runs[0].name}`"):
        check_fetched(runs, repository)


def test_runs_on_different_photos_of_one_address_are_not_mixed(repository: Path) -> None:
    runs = make_grid(["seed=1..2"], [], repository)
    for run, photos in zip(runs, ("aa", "bb"), strict=True):
        finish(run, repository, commit_files(repository, {"dvc.lock": lock_of(photos)}))
    (repository / "dvc.lock").unlink()

    with pytest.raises(PipelineError, match=rf"dvc exp remove {runs[1].name}`"):
        check_fetched(runs, repository)


def test_photos_of_another_address_are_no_news(repository: Path) -> None:
    runs = make_grid(["seed=1"], [], repository)
    finish(runs[0], repository)

    (repository / "dvc.lock").write_text(lock_of(photos="bb", address="gs://others"))

    check_fetched(runs, repository)


def test_a_finished_grid_needs_no_cluster(repository: Path) -> None:
    runs = make_grid(["seed=1"], [], repository)
    finish(runs[0], repository)

    assert run_grid(runs, repository, address="ray://nowhere:1") == {}


def test_failure_does_not_stop_the_rest(repository: Path) -> None:
    runs = make_grid(["seed=1..3"], [], repository)
    executed = []

    def execute(run: Run, _: Path) -> str | None:
        executed.append(run.seed)
        return "train: out of luck" if run.seed == 2 else None

    assert run_grid(runs, repository, execute) == {runs[1].name: "train: out of luck"}
    assert executed == [1, 2, 3]


@pytest.mark.parametrize("file", ["params.yaml", "stages/train.py", "corrections/team/labels.txt"])
def test_study_stops_where_what_it_runs_has_changed(file: str, repository: Path) -> None:
    executed = []

    def execute(run: Run, folder: Path) -> None:
        executed.append(run.seed)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("a") as stream:
            stream.write("more: 1\n")

    with pytest.raises(PipelineError, match="changed while the study ran; change them back"):
        run_grid(make_grid(["seed=1..3"], [], repository), repository, execute)

    assert executed == [1]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("train: all bad.\nERROR: failed to run: x, exited with 1", "train: all bad."),
        (
            "train: trains on the CPU\nERROR: failed to run: x, exited with -9",
            "ERROR: failed to run: x, exited with -9",
        ),
        (
            "train: trains on the CPU\nValueError: odd\nERROR: failed to run: x, exited with 1",
            "ValueError: odd; ERROR: failed to run: x, exited with 1",
        ),
        ("train: done\nERROR: cannot lock", "ERROR: cannot lock"),
        ("", "no output"),
    ],
)
def test_reason_of_a_failure_is_no_line_of_success(
    output: str, reason: str, repository: Path
) -> None:
    assert reason_of(output, repository) == reason


def test_study_with_an_impossible_value_runs_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params({}, repository)
    monkeypatch.chdir(repository)
    started: list[object] = []
    monkeypatch.setattr(study_command, "run_grid", lambda runs, **_: started.extend(runs))

    status = study_command.main(["alpha=0.2,2"])

    assert status == 1
    assert "alpha should be less than or equal to 1, not 2" in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize("content", [b"file,class\r\na,b\r\n", "größer\n".encode("latin-1")])
def test_changes_reach_a_node_as_they_are(content: bytes, repository: Path, tmp_path: Path) -> None:
    (repository / "labels.csv").write_bytes(b"file,class\r\n")
    commit_files(repository, {})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (repository / "labels.csv").write_bytes(content)

    (tmp_path / "patch").write_bytes(_uncommitted_changes(repository))

    git(clone, "apply", str(tmp_path / "patch"))
    assert (clone / "labels.csv").read_bytes() == content


def test_folder_in_which_dvc_fails_is_named(repository: Path, tmp_path: Path) -> None:
    folder = repository.rename(tmp_path.with_name("späces"))
    runs = make_grid(["seed=1"], [], folder)

    with pytest.raises(PipelineError, match="späces is not; move the clone"):
        run_grid(runs, folder, lambda run, folder: None)


def test_git_configuration_on_which_dvc_fails_is_named(repository: Path) -> None:
    git(repository, "config", "user.name", "Jürgen")
    runs = make_grid(["seed=1"], [], repository)

    with pytest.raises(PipelineError, match=r"user\.name=Jürgen is not"):
        run_grid(runs, repository, lambda run, folder: None)
