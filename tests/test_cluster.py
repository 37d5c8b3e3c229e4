"""Tasks on two Ray nodes on this machine: every result once, whatever happens to a node."""

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cluster_work
import pytest
from cluster_nodes import Nodes, needs_ray
from ruamel.yaml import YAML

from trashnet.cluster import run_tasks
from trashnet.errors import PipelineError
from trashnet.shards import CLUSTER, PHOTOS_URL, Work, carry_photos

ROOT = Path(__file__).parents[1]


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
@pytest.mark.parametrize("known", [False, True])
def test_another_photo_in_the_bucket_is_refused(
    known: bool, three_photos: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLUSTER, nodes.address)
    monkeypatch.setenv(PHOTOS_URL, (three_photos / "bucket").as_uri())
    hashes = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    carried = carry_photos(three_photos / "here", PATHS, hashes if known else None)
    (three_photos / "bucket/glass/1.jpg").write_bytes(b"another")

    with pytest.raises(PipelineError, match=r"bucket/glass/1\.jpg is not the photo that was down"):
        run_numbers(nodes, Work(cluster_work.read_all), 1, lambda _: carried)


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
