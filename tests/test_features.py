"""The features folder: what is written is what is read, and only what float16 can hold."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import stages.features
import trashnet.features
from stages.features import bytes_a_view, check_size
from trashnet.errors import PipelineError
from trashnet.features import PHOTOS, FeatureWriter, encode, open_features
from trashnet.networks import Network
from trashnet.views import INDEX


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trashnet.features, "FEATURES", tmp_path)
    (tmp_path / "Net").mkdir()
    pd.DataFrame({"path": ["glass/1.jpg", "NA/2.jpg", "paper/3.jpg"]}).to_csv(
        tmp_path / "Net" / PHOTOS, index=False
    )
    return tmp_path / "Net"


def test_features_come_back_in_order_whatever_the_order_of_writing(folder: Path) -> None:
    random = np.random.default_rng(0)
    trunk = random.normal(size=(3, 2, 4, 5, 6)).astype(np.float32)
    pooled = random.normal(size=(3, 2, 7)).astype(np.float32)

    writer = FeatureWriter(folder, photos=3)
    writer.write(2, *encode(trunk[2:], pooled[2:]))
    writer.write(0, *encode(trunk[:2], pooled[:2]))

    features = open_features("Net")
    assert features.paths == ["glass/1.jpg", "NA/2.jpg", "paper/3.jpg"]
    np.testing.assert_array_equal(features.trunk, trunk.astype(np.float16))
    np.testing.assert_array_equal(features.pooled, pooled)


def test_features_are_mapped_not_read(folder: Path) -> None:
    FeatureWriter(folder, 1).write(0, np.ones((1, 1, 2, 2, 3)), np.ones((1, 1, 3)))
    assert isinstance(open_features("Net").trunk, np.memmap)


def test_features_of_a_killed_run_stay(folder: Path) -> None:
    rows = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1, 1)
    FeatureWriter(folder, photos=3).write(0, rows[:2], rows[:2, :, 0, 0])

    FeatureWriter(folder, photos=3).write(2, rows[2:], rows[2:, :, 0, 0])

    np.testing.assert_array_equal(open_features("Net").trunk, rows)


def test_pixels_stay_bytes() -> None:
    pixels = np.full((1, 1, 2, 2, 3), 255, np.uint8)
    assert encode(pixels, np.ones((1, 1, 3)))[0].dtype == np.uint8


@pytest.mark.parametrize("bad", [70_000.0, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused(bad: float) -> None:
    trunk = np.full((1, 1, 2, 2, 3), bad, np.float32)
    with pytest.raises(PipelineError, match=r"beyond what float16 features hold"):
        encode(trunk, np.ones((1, 1, 3)))


def test_features_beyond_their_limit_are_refused_with_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "views-00000.npy", np.zeros((2, 4, 32, 32, 3), np.uint8))
    index = pd.DataFrame(
        {"path": ["a/1.jpg", "b/2.jpg"], "shard": "views-00000.npy", "row": [0, 1]}
    )
    index.to_csv(tmp_path / INDEX, index=False)
    monkeypatch.setattr(stages.features, "AUGMENTED", tmp_path)

    with pytest.raises(
        PipelineError, match=r"0\.0102 GB \(2000 photos in 5 views\).*augment\.views"
    ):
        check_size("Net", network_of(cut=(4, 4, 16), channels=128), photos=2000, max_gigabytes=0.01)


@pytest.mark.parametrize("at_pixels", [False, True])
def test_a_view_takes_on_disk_what_is_reckoned(folder: Path, at_pixels: bool) -> None:
    network = network_of(cut=(4, 4, 3), channels=8, at_pixels=at_pixels)
    activations = np.ones((3, 2, 4, 4, 3), np.uint8 if at_pixels else np.float32)

    FeatureWriter(folder, 3).write(0, *encode(activations, np.ones((3, 2, 8), np.float32)))

    written = open_features("Net")
    assert 3 * 2 * bytes_a_view(network) == written.trunk.nbytes + written.pooled.nbytes


def network_of(cut: tuple[int, int, int], channels: int, at_pixels: bool = False) -> Network:
    """Return a network without weights worth naming, cut where the tensor has this shape."""
    source, features = keras.Input(cut), keras.Input(cut)
    trunk = keras.Model(source, source if at_pixels else keras.layers.ReLU()(source))
    return Network(trunk, keras.Model(features, keras.layers.Conv2D(channels, 1)(features)))


@pytest.mark.parametrize("trunk", [np.ones((1, 1, 2, 2, 3), np.uint8), np.ones((1, 1, 2, 2, 3))])
def test_pooled_outputs_that_are_no_numbers_are_refused(trunk: np.ndarray) -> None:
    with pytest.raises(PipelineError, match="float32 features"):
        encode(trunk, np.full((1, 1, 3), np.nan, np.float32))
