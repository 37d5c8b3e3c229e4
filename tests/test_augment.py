"""The augment stage: every photo's views, in order, the same however the work is cut up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from params_work import write_params
from PIL import Image

import stages.augment
from stages.augment import draw_contact_sheet, main
from trashnet.dataset import IMAGES, MANIFEST
from trashnet.images import NotAnImageError
from trashnet.params import load_params
from trashnet.views import AUGMENTED, INDEX, iterate_views

REPOSITORY = Path(__file__).parents[1]
SIZE = [32, 40]


def ask_for(views: int) -> None:
    write_params({"datasets.sample.image_size": SIZE, "augment.views": views})


def views_by_path() -> dict[str, np.ndarray]:
    return {
        path: np.array(views)
        for paths, of_shard in iterate_views(AUGMENTED)
        for path, views in zip(paths, of_shard, strict=True)
    }


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Run in a folder with a manifest of seven photos of noise and one that was left out."""
    monkeypatch.chdir(tmp_path)
    ask_for(views=2)
    random = np.random.default_rng(0)
    rows = []
    for number in range(8):
        label = "glass" if number < 4 else "metal"
        path = f"{label}/{number}.png"
        status = "duplicate" if number == 2 else "ok"
        rows.append({"path": path, "label": label, "status": status, "sha256": f"{number:064x}"})
        if status == "ok":
            (IMAGES / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (48, 64, 3), np.uint8)
            Image.fromarray(pixels).save(IMAGES / path)
    manifest = pd.DataFrame(rows).assign(
        reason="", phash="", group="", width=64, height=48, size_bytes=1
    )
    manifest.to_csv(MANIFEST, index=False)
    return manifest


def test_views_come_back_in_the_manifests_order(photos: pd.DataFrame) -> None:
    main()
    assert list(views_by_path()) == photos.loc[photos["status"] == "ok", "path"].tolist()


def test_views_are_bytes_of_the_networks_size(photos: pd.DataFrame) -> None:
    main()
    views = views_by_path()["glass/0.png"]
    assert views.shape == (2, *SIZE, 3)
    assert views.dtype == np.uint8


def test_views_depend_on_neither_order_nor_shards_nor_processes(
    photos: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def augment(processes: int, photos_a_shard: int) -> dict[str, np.ndarray]:
        monkeypatch.setattr(os, "cpu_count", lambda: processes)
        monkeypatch.setattr(stages.augment, "PHOTOS_A_SHARD", photos_a_shard)
        main()
        return views_by_path()

    alone = augment(processes=1, photos_a_shard=64)
    photos.sample(frac=1, random_state=1).to_csv(MANIFEST, index=False)
    shared_out = augment(processes=3, photos_a_shard=2)

    assert alone.keys() == shared_out.keys()
    for path, views in alone.items():
        np.testing.assert_array_equal(views, shared_out[path])


def test_the_same_run_writes_the_same_bytes(
    photos: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.augment, "PHOTOS_A_SHARD", 2)

    def written(processes: int) -> dict[str, bytes]:
        monkeypatch.setattr(os, "cpu_count", lambda: processes)
        main()
        files = [*AUGMENTED.iterdir(), stages.augment.CONTACT_SHEET]
        return {file.name: file.read_bytes() for file in files}

    assert written(processes=1) == written(processes=3)


def test_without_views_each_photo_still_has_its_row(photos: pd.DataFrame) -> None:
    ask_for(views=0)
    main()
    ((paths, views),) = iterate_views(AUGMENTED)
    assert views.shape == (len(paths), 0, *SIZE, 3)


def test_a_killed_run_leaves_no_views(photos: pd.DataFrame) -> None:
    last = IMAGES / photos["path"].iloc[-1]
    last.unlink()
    os.mkfifo(last)  # reading it waits for ever: the run stands still half-way
    run = subprocess.Popen(
        [sys.executable, "-m", "stages.augment"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    )
    half_written = AUGMENTED.with_name(f".partial-{AUGMENTED.name}")
    deadline = time.monotonic() + 30
    while not half_written.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    assert half_written.exists()
    assert not AUGMENTED.exists()


def test_a_broken_photo_leaves_the_views_of_before(photos: pd.DataFrame) -> None:
    main()
    before = (AUGMENTED / INDEX).stat().st_ino
    (IMAGES / photos["path"].iloc[-1]).write_bytes(b"not a photo")
    with pytest.raises(NotAnImageError, match="neither a JPEG nor a PNG"):
        main()
    assert (AUGMENTED / INDEX).stat().st_ino == before


def test_the_contact_sheet_names_views_and_classes(photos: pd.DataFrame) -> None:
    main()
    sheet = draw_contact_sheet(photos[photos["status"] == "ok"], load_params().data.image_size)
    assert [axis.get_title() for axis in sheet.axes] == ["plain", "view 1", "view 2", "", "", ""]
    assert [axis.get_ylabel() for axis in sheet.axes] == ["glass", "", "", "metal", "", ""]


def test_the_index_says_where_a_photos_views_stand(
    photos: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.augment, "PHOTOS_A_SHARD", 3)
    main()
    index = pd.read_csv(AUGMENTED / INDEX)
    by_path = views_by_path()
    for path, shard, row in index.itertuples(index=False):
        np.testing.assert_array_equal(np.load(AUGMENTED / shard)[row], by_path[path])
