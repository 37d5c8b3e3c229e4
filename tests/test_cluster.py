"""Two Ray nodes on this machine: the same bytes as without them, whatever happens to a node."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests import cluster_work
from trashnet.errors import PipelineError
from trashnet.shards import CLUSTER, PHOTOS_URL, Work
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

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": OBJECT_STORE_BYTES},
        )
        self.workers = [self.add() for _ in range(workers)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)

    def kill(self, worker: Any) -> None:
        """End a node and all its processes as a power failure does."""
        self.workers.remove(worker)
        self._cluster.remove_node(worker, allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers look for modules here, too.
    os.environ["PYTHONPATH"] = str(ROOT)
    nodes = Nodes(workers=2)
    yield nodes
    nodes.stop()
    del os.environ["PYTHONPATH"]


def run(stage: str, folder: Path, **variables: str) -> str:
    """Run a stage as DVC does; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", *f"stages.{stage}".split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": "1"} | variables,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lay_out(folder: Path) -> Path:
    """Write params.yaml, 150 photos of noise in two classes, and a file that is none."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params["augment"]["views"] = 1
    yaml.dump(params, folder / "params.yaml")
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


@needs_ray
def test_photos_prepared_and_augmented_on_the_cluster_are_the_same(
    prepared: Path, nodes: Nodes, tmp_path: Path
) -> None:
    lay_out(tmp_path)

    run("prepare", tmp_path, **{CLUSTER: nodes.address})
    run("augment", tmp_path, **{CLUSTER: nodes.address})

    assert content(tmp_path) == content(prepared)


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["MobileNetV2", pytest.param("ResNet101V2", id="ResNet101V2-on-tensorflow")]
)
def test_features_of_the_cluster_are_the_same(
    model: str, prepared: Path, nodes: Nodes, tmp_path: Path
) -> None:
    found = {}
    for name, variables in (("here", {}), ("there", {CLUSTER: nodes.address})):
        (tmp_path / name).mkdir()
        folder = copy_inputs(prepared, tmp_path / name)
        (folder / weights_file(model)).parent.mkdir()
        write_random_weights_note(folder / weights_file(model))
        run(f"features --model {model}", folder, **variables)
        found[name] = content(folder / "data/features")

    assert found["there"] == found["here"]
