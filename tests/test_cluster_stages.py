"""Stages on two Ray nodes on this machine: the same bytes as without them."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cluster_nodes import Nodes, needs_ray
from params_work import write_params
from PIL import Image

from trashnet.features import WEIGHTS
from trashnet.shards import CLUSTER, PHOTOS_URL
from trashnet.weights import weights_file, write_random_weights_note

ROOT = Path(__file__).parents[1]


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
def test_views_of_photos_elsewhere_need_no_photo_of_the_driver(
    prepared: Path, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the first of each class alone, which the contact sheet shows."""
    monkeypatch.setenv(PHOTOS_URL, (prepared / "data/raw").as_uri())
    folder = copy_inputs(prepared, tmp_path)
    (folder / "data/augmented").unlink()
    (folder / "data/images").unlink()
    for photo in ("metal/000.jpg", "glass/001.jpg"):
        (folder / "data/images" / photo).parent.mkdir(parents=True)
        shutil.copy(prepared / "data/images" / photo, folder / "data/images" / photo)

    run("augment", folder, nodes.address)

    assert content(folder / "data/augmented") == content(prepared / "data/augmented")


@needs_ray
@pytest.mark.slow
def test_features_of_photos_elsewhere_need_no_photo_of_the_driver(
    prepared: Path, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights that were trained: random ones settle on some photos first."""
    model = "MobileNetV2"
    folders = {}
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        folders[name] = copy_inputs(prepared, tmp_path / name)
        (folders[name] / weights_file(model)).parent.mkdir()
    features = {name: folder / "data/features" / model for name, folder in folders.items()}
    write_random_weights_note(folders["here"] / weights_file(model))
    run(f"features --model {model}", folders["here"])
    shutil.copy(features["here"] / WEIGHTS, folders["there"] / weights_file(model))
    (folders["there"] / "data/images").unlink()
    monkeypatch.setenv(PHOTOS_URL, (prepared / "data/raw").as_uri())

    run(f"features --model {model}", folders["there"], nodes.address)

    assert content(features["there"]) == content(features["here"])


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
