"""A study on two Ray nodes on this machine: the same experiments as without them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_nodes import Nodes, needs_ray

from trashnet.errors import PipelineError
from trashnet.study.experiments import find_experiments, run_grid
from trashnet.study.grid import make_grid
from trashnet.study.nodes import describe_repository, run_in_clone

STUB = """
import json, pathlib
from ruamel.yaml import YAML
params = YAML(typ="safe").load(open("params.yaml"))
score = params["alpha"] * 100 + params["seed"]
pathlib.Path("model.txt").write_text(str(score))
pathlib.Path("metrics.json").write_text(json.dumps({"score": score}))
print("train: done")
"""
GRAPH = """
stages:
  train:
    cmd: python -m stages.train
    deps: [stages/train.py]
    params: [alpha, seed]
    outs: [model.txt]
    metrics:
      - metrics.json:
          cache: false
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with a stage that trains nothing, and a change not yet committed."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    folder = tmp_path / "repository"
    (folder / "stages").mkdir(parents=True)
    (folder / "trashnet").mkdir()
    (folder / "stages/train.py").write_text(STUB)
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "params.yaml").write_text("alpha: 0.5\nseed: 1\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / ".gitignore").write_text("/model.txt\n")
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "state"], cwd=folder, check=True)
    (folder / "params.yaml").write_text("alpha: 0.25\nseed: 1\n")
    return folder


def scores(folder: Path) -> dict[str, str]:
    """Return what each experiment committed as its metrics, by its name."""
    show = ["git", "-C", str(folder), "show"]
    return {
        name: subprocess.run(
            [*show, f"{commit}:metrics.json"], check=True, capture_output=True, text=True
        ).stdout
        for name, commit in find_experiments(folder).items()
    }


def add_remote(folder: Path, url: str, *where: str) -> None:
    command = [sys.executable, "-m", "dvc", "remote", "add", "-d", *where, "store", url]
    subprocess.run(command, cwd=folder, check=True)


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("through", ["cache", "remote"])
def test_a_study_on_the_cluster_equals_the_local_one(
    through: str, study: Path, nodes: Nodes, tmp_path: Path
) -> None:
    runs = make_grid(["alpha=0,1", "seed=1,2"], [], study)
    assert run_grid(runs, study) == {}
    here = scores(study)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "exp", "remove", "-A"], cwd=study, check=True)
    if through == "remote":
        shutil.rmtree(study / ".dvc/cache")
        add_remote(study, str(tmp_path / "store"))

    assert run_grid(runs, study, address=nodes.address) == {}

    assert len(here) == 4
    assert scores(study) == here
    # Models come home, too.
    subprocess.run([*dvc, "exp", "apply", runs[3].name], cwd=study, check=True)
    assert (study / "model.txt").read_text() == "102"


@needs_ray
@pytest.mark.slow
def test_a_run_that_fails_on_the_cluster_is_told_and_the_rest_goes_on(
    study: Path, nodes: Nodes
) -> None:
    (study / "stages/train.py").write_text(
        STUB + "if params['seed'] == 2: raise SystemExit('train: out of luck')\n"
    )
    runs = make_grid(["seed=1..3"], [], study)

    failed = run_grid(runs, study, address=nodes.address)

    assert failed == {runs[1].name: "train: out of luck"}
    assert set(find_experiments(study)) == {runs[0].name, runs[2].name}


def test_a_node_that_does_not_see_the_remote_trains_nothing(study: Path, tmp_path: Path) -> None:
    add_remote(study, str(tmp_path / "store"))
    (run,) = make_grid(["seed=1"], [], study)

    with describe_repository(study) as repository:
        (tmp_path / "store").rename(tmp_path / "elsewhere")

        with pytest.raises(PipelineError, match=f"does not see {tmp_path / 'store'}, through"):
            run_in_clone(repository, run)


def test_a_bucket_needs_no_folder_that_all_see(study: Path) -> None:
    add_remote(study, "gs://bucket/dvc")

    with describe_repository(study) as repository:
        assert (repository.remote, repository.store, repository.probe) == ("store", "", "")


@pytest.mark.parametrize(
    ("url", "where", "message"),
    [
        ("gs://bucket/dvc", ["--local"], "this machine's own configuration"),
        ("../store", [], r"relative path, \.\./\.\./store,"),
    ],
)
def test_a_remote_that_nodes_cannot_find_is_refused_before_anything_runs(
    url: str, where: list[str], message: str, study: Path
) -> None:
    add_remote(study, url, *where)

    with (
        pytest.raises(PipelineError, match=message),
        describe_repository(study),
    ):
        pass
