"""The augment stage: every photo's views, in order, the same however the work is cut up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import stages.augment
from stages.augment import Shard, index_of, write_shard
from trashnet.params import load_params
from trashnet.views import INDEX, iterate_views

SIZE = [12, 16]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Seven photos of noise, and the manifest's columns that views depend on."""
    monkeypatch.setattr(stages.augment, "IMAGES", tmp_path)
    random = np.random.default_rng(0)
    rows = []
    for number in range(7):
        Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        rows.append({"path": f"{number}.png", "label": "glass", "sha256": f"{number:064x}"})
    return pd.DataFrame(rows)


def views_by_path(photos: pd.DataFrame, sizes: list[int], folder: Path) -> dict[str, np.ndarray]:
    """Write shards of the given sizes and read them back."""
    folder.mkdir()
    starts = np.cumsum([0, *sizes])
    shards = [
        Shard(f"views-{number:05}.npy", photos[start : start + size])
        for number, (start, size) in enumerate(zip(starts, sizes, strict=False))
    ]
    settings = load_params().augment
    for shard in shards:
        write_shard(shard, folder, settings, SIZE)
    index_of(shards).to_csv(folder / INDEX, index=False)
    return {
        path: views
        for paths, of_shard in iterate_views(folder)
        for path, views in zip(paths, of_shard, strict=True)
    }


def test_views_depend_on_neither_order_nor_shards(photos: pd.DataFrame, tmp_path: Path) -> None:
    straight = views_by_path(photos, [4, 3], tmp_path / "a")
    shuffled = views_by_path(photos.sample(frac=1, random_state=1), [2, 2, 3], tmp_path / "b")
    assert straight.keys() == shuffled.keys() == set(photos["path"])
    for path in straight:
        np.testing.assert_array_equal(straight[path], shuffled[path])


def test_shards_come_back_in_the_manifests_order(photos: pd.DataFrame, tmp_path: Path) -> None:
    assert list(views_by_path(photos, [4, 3], tmp_path / "a")) == photos["path"].tolist()


def test_a_shard_holds_bytes_of_the_networks_size(photos: pd.DataFrame, tmp_path: Path) -> None:
    views = views_by_path(photos, [7], tmp_path / "a")["0.png"]
    assert views.shape == (load_params().augment.views, *SIZE, 3)
    assert views.dtype == np.uint8
