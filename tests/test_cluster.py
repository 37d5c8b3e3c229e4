"""Two Ray nodes on this machine: the same bytes as without them, whatever happens to a node."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cluster_work
import numpy as np
import pytest
from params_work import write_params
from PIL import Image
from ruamel.yaml import YAML

from trashnet.cluster import run_tasks
from trashnet.errors import PipelineError
from trashnet.shards import CLUSTER, PHOTOS_URL, Work, carry_photos
from trashnet.study.experiments import find_experiments, run_grid
from trashnet.study.grid import make_grid
from trashnet.weights import weights_file, write_random_weights_note

ROOT = Path(__file__).parents[1]
OBJECT_STORE_BYTES = 200_000_000

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NO RAY: pip install -r requirements-cluster.lock",
)


class Nodes:
    """A head without cores, and workers of one core each."""

    def __init__(self, workers: int) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415

        head = {"num_cpus": 0, "include_dashboard": False}
        self._cluster = patiently(
            lambda: Cluster(
                initialize_head=True,
                head_node_args=head | {"object_store_memory": OBJECT_STORE_BYTES},
            )
        )
        self.workers = [self.add() for _ in range(workers)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        return patiently(
            lambda: self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
        )

    def kill(self, worker: Any) -> None:
        """End a node and all its processes as a power failure does."""
        self.workers.remove(worker)
        self._cluster.remove_node(worker, allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call,unused-ignore]


def patiently(start: Callable[[], Any]) -> Any:
    """Start a node; Ray gives one half a minute, which a busy machine may not have at once."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            fault = error
    raise fault


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT / "tests"))  # for cluster_work
        nodes = Nodes(workers=2)
        yield nodes
        nodes.stop()


def run(stage: str, folder: Path, address: str = "", status: int = 0) -> str:
    """Run a stage as DVC does; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", *f"stages.{stage}".split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": "1", CLUSTER: address},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def content(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lay_out(folder: Path) -> Path:
    """Write params.yaml, 150 photos of noise in two classes, and a file that is none."""
    write_params({"augment.views": 1}, folder)
    random = np.random.default_rng(0)
    for number in range(150):
        photo = folder / "data/raw" / ("glass" if number % 2 else "metal") / f"{number:03}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(photo)
    (folder / "data/raw/glass/broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which this machine alone prepared and augmented."""
    folder = lay_out(tmp_path_factory.mktemp("here"))
    run("prepare", folder)
    run("augment", folder)
    return folder


def copy_inputs(source: Path, target: Path) -> Path:
    """Link what prepare and augment read and wrote."""
    (target / "data").mkdir()
    (target / "params.yaml").write_text((source / "params.yaml").read_text())
    for name in ("raw", "images", "manifest.csv", "augmented"):
        (target / "data" / name).symlink_to(source / "data" / name)
    return target


def run_numbers(
    nodes: Nodes,
    work: Work,
    count: int,
    read: Callable[[int], Any] = lambda number: number,
    on_result: Callable[[int], None] = lambda number: None,
) -> dict[int, Any]:
    """Run a function of cluster_work on numbers from 0 and return its results by number."""
    results = {}

    def write(number: int, result: Any) -> None:
        results[number] = result
        on_result(number)

    run_tasks(nodes.address, range(count), lambda number: f"number {number}", read, work, write)
    return results


@needs_ray
def test_results_come_back_under_their_own_task(nodes: Nodes) -> None:
    assert run_numbers(nodes, Work(cluster_work.double), 5) == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}


@needs_ray
def test_no_more_than_twice_the_cores_is_under_way(nodes: Nodes) -> None:
    under_way, most = 0, 0

    def read(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        return number

    def note(_: int) -> None:
        nonlocal under_way
        under_way -= 1

    run_numbers(nodes, Work(cluster_work.double), 12, read, note)

    assert most == 2 * len(nodes.workers)


@needs_ray
def test_each_process_loads_its_tools_once(nodes: Nodes, tmp_path: Path) -> None:
    work = Work(cluster_work.process, str(tmp_path), cluster_work.load_slowly)

    processes = set(run_numbers(nodes, work, 20).values())

    assert {path.name for path in tmp_path.iterdir()} == {str(process) for process in processes}


@needs_ray
def test_a_killed_node_costs_only_what_ran_there(nodes: Nodes) -> None:
    reads = []

    def read(number: int) -> int:
        reads.append(number)
        return number

    def kill_in_the_middle(number: int) -> None:
        if number == 4:
            nodes.kill(nodes.workers[-1])

    results = run_numbers(nodes, Work(cluster_work.double), 12, read, kill_in_the_middle)
    nodes.workers.append(nodes.add())

    assert results == {number: 2 * number for number in range(12)}
    # What was under way on the node, or waiting for it, went out twice.
    assert len(reads) <= 12 + 4


@needs_ray
def test_a_task_that_ends_its_process_is_run_again(nodes: Nodes, tmp_path: Path) -> None:
    results = run_numbers(nodes, Work(cluster_work.crash_once, str(tmp_path)), 2)

    assert results == {0: 0, 1: 1}


@needs_ray
@pytest.mark.parametrize(
    ("work", "message"),
    [
        (cluster_work.crash, r"^number 3 failed 3 times on the Ray cluster \("),
        (cluster_work.fail, r"^number \d failed 3 times .*ZeroDivisionError: by \d"),
    ],
)
def test_a_task_that_fails_three_times_is_named(
    work: Callable[[Any, Any], Any], message: str, nodes: Nodes
) -> None:
    with pytest.raises(PipelineError, match=message) as raised:
        run_numbers(nodes, Work(work), 4)

    assert "\n" not in str(raised.value)


@needs_ray
def test_what_a_person_has_to_mend_is_said_at_once(nodes: Nodes, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"^Number 0 is broken; mend it\. \(Among number 0"):
        run_numbers(nodes, Work(cluster_work.refuse, str(tmp_path)), 1)

    assert len(list(tmp_path.iterdir())) == 1


@needs_ray
def test_a_cluster_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(PipelineError, match=r"^No Ray cluster can be used at '127\.0\.0\.1:9'"):
        run_tasks("127.0.0.1:9", [1], str, lambda n: n, Work(cluster_work.double), print)


def test_missing_ray_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(PipelineError, match=r"^Ray is not installed; install it"):
        run_tasks("auto", [1], str, lambda n: n, Work(cluster_work.double), print)


@pytest.fixture
def three_photos(tmp_path: Path) -> Path:
    """Return a folder with a bucket and this machine's photos, the same."""
    for place in ("bucket", "here"):
        (tmp_path / place / "glass").mkdir(parents=True)
        for number in range(3):
            (tmp_path / place / f"glass/{number}.jpg").write_bytes(bytes([number]))
    return tmp_path


PATHS = [f"glass/{number}.jpg" for number in range(3)]


@needs_ray
def test_photos_in_a_bucket_are_read_there(
    three_photos: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLUSTER, nodes.address)
    monkeypatch.setenv(PHOTOS_URL, (three_photos / "bucket").as_uri())
    carried = carry_photos(three_photos / "here", PATHS)

    results = run_numbers(nodes, Work(cluster_work.read_all), 1, lambda _: carried)

    assert results == {0: [b"\0", b"\1", b"\2"]}
    assert not isinstance(carried, list)


@needs_ray
def test_another_photo_in_the_bucket_is_refused(
    three_photos: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLUSTER, nodes.address)
    monkeypatch.setenv(PHOTOS_URL, (three_photos / "bucket").as_uri())
    carried = carry_photos(three_photos / "here", PATHS)
    (three_photos / "bucket/glass/1.jpg").write_bytes(b"another")

    with pytest.raises(PipelineError, match=r"bucket/glass/1\.jpg is not the photo that was down"):
        run_numbers(nodes, Work(cluster_work.read_all), 1, lambda _: carried)


def test_without_a_cluster_nothing_of_ray_is_imported(tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    program = (
        "import runpy, sys; sys.argv = ['prepare']; "
        "runpy.run_module('stages.prepare', run_name='__main__', alter_sys=True); "
        "print({'ray', 'trashnet.cluster'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": "1"},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines()[-1] == "set()"


@needs_ray
def test_photos_prepared_and_augmented_on_the_cluster_are_the_same(
    prepared: Path, nodes: Nodes, tmp_path: Path
) -> None:
    lay_out(tmp_path)

    run("prepare", tmp_path, nodes.address)
    run("augment", tmp_path, nodes.address)

    assert content(tmp_path) == content(prepared)


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("model", ["MobileNetV2", "ResNet101V2"])
def test_features_of_the_cluster_are_the_same(
    model: str, prepared: Path, nodes: Nodes, tmp_path: Path
) -> None:
    found = {}
    for name, address in (("here", ""), ("there", nodes.address)):
        (tmp_path / name).mkdir()
        folder = copy_inputs(prepared, tmp_path / name)
        (folder / weights_file(model)).parent.mkdir()
        write_random_weights_note(folder / weights_file(model))
        run(f"features --model {model}", folder, address)
        found[name] = content(folder / "data/features")

    assert found["there"] == found["here"]


@needs_ray
def test_a_stage_goes_on_with_the_shards_that_it_has(
    prepared: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """This machine's third shard is broken: the cluster does not make the first two again."""
    folder = copy_inputs(prepared, tmp_path)
    (folder / "data/augmented").unlink()
    images = folder / "data/images"
    images.unlink()
    shutil.copytree(prepared / "data/images", images)
    last = sorted(images.rglob("*.jpg"))[-1]
    whole = last.read_bytes()
    last.write_bytes(b"no photo")
    run("augment", folder, status=1)
    last.write_bytes(whole)
    kept = sorted((folder / "data/.partial-augmented").glob("*.npy"))
    before = [path.stat().st_mtime_ns for path in kept]

    run("augment", folder, nodes.address)

    assert [path.name for path in kept] == ["views-00000.npy", "views-00001.npy"]
    now = [(folder / "data/augmented" / path.name).stat().st_mtime_ns for path in kept]
    assert now == before
    assert content(folder / "data/augmented") == content(prepared / "data/augmented")


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
        store = str(tmp_path / "store")
        subprocess.run([*dvc, "remote", "add", "-d", "store", store], cwd=study, check=True)

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


def test_example_clusters_run_the_pinned_ray() -> None:
    wanted = (ROOT / "requirements-cluster.txt").read_text()
    pinned = re.search(r"^ray\[client\]==(\S+)", wanted, re.MULTILINE)
    assert pinned is not None
    kuberay = YAML(typ="safe").load(ROOT / "cluster/kuberay.yaml")
    image = kuberay["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]

    assert kuberay["spec"]["rayVersion"] == pinned[1]
    assert image.endswith(f":{pinned[1]}")
    assert f"FROM rayproject/ray:{pinned[1]}-" in (ROOT / "cluster/Dockerfile").read_text()


@needs_ray
def test_the_google_cloud_cluster_fits_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config  # noqa: PLC0415

    cluster = YAML(typ="safe").load(ROOT / "cluster/gcp.yaml")

    validate_config(prepare_config(cluster))

    assert set(cluster["file_mounts"].values()) == {"requirements-cluster.lock"}
