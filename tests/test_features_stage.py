"""The features stage: photos with their views, weights as used, and what it depends on."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from params_work import write_params
from PIL import Image

import stages.features
from stages.features import photos_with_views, save_weights_as_used, spread_photos
from trashnet.dataset import IMAGES, MANIFEST
from trashnet.errors import PipelineError
from trashnet.networks import Network
from trashnet.views import AUGMENTED, INDEX
from trashnet.weights import random_weights_seed, weights_file, write_random_weights_note

Begin = Callable[..., str]


def test_views_pass_the_network_with_their_photo_and_behind_it(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(40)]
    for number, file in enumerate(files):
        Image.new("RGB", (8, 8), (number,) * 3).save(file)
    expected = (np.arange(40)[:, None] + [0, 100, 200]).astype(np.uint8)
    views = np.broadcast_to(expected[:, 1:, None, None, None], (40, 2, 8, 8, 3))

    pixels = np.concatenate(list(photos_with_views(files, views)))

    np.testing.assert_array_equal(pixels.mean(axis=(2, 3, 4)), expected)


def test_photos_to_settle_on_are_spread_over_all_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    IMAGES.mkdir(parents=True)
    photos = [f"{number}.png" for number in range(130)]
    for number, photo in enumerate(photos):
        Image.new("RGB", (8, 8), (number,) * 3).save(IMAGES / photo)

    shown = spread_photos(photos, (8, 8))

    assert shown[:, 0, 0, 0].tolist() == list(range(0, 130, 3))


def test_random_weights_are_kept_as_they_were_used(tmp_path: Path) -> None:
    note, used = tmp_path / "note.weights.h5", tmp_path / "used.weights.h5"
    write_random_weights_note(note)

    save_weights_as_used(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), note, used)

    assert random_weights_seed(used) is None


class BegunError(Exception):
    """Ends the stage where it would begin to run the network."""


def small_network() -> Network:
    """Return a network that is cut between two convolutions."""
    pixels, cut = keras.Input((32, 32, 3)), keras.Input((4, 4, 16))
    trunk = keras.Model(pixels, keras.layers.Conv2D(16, 8, strides=8)(pixels))
    return Network(trunk, keras.Model(cut, keras.layers.Conv2D(8, 1)(cut)))


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Lay out what features of two photos depend on; return what says under which identity."""
    monkeypatch.chdir(tmp_path)
    AUGMENTED.mkdir(parents=True)
    np.save(AUGMENTED / "views-00000.npy", np.zeros((2, 1, 32, 32, 3), np.uint8))
    index = pd.DataFrame(
        {"path": ["a/1.jpg", "b/2.jpg"], "shard": "views-00000.npy", "row": [0, 1]}
    )
    index.to_csv(AUGMENTED / INDEX, index=False)
    row = {"label": "", "status": "ok", "reason": "", "sha256": "", "phash": "", "group": ""}
    manifest = index[["path"]].assign(**row, width=1, height=1, size_bytes=1)
    manifest.to_csv(MANIFEST, index=False)
    weights_file("MobileNet").parent.mkdir()
    weights_file("MobileNet").write_bytes(b"weights")
    monkeypatch.setattr(stages.features, "random_weights_seed", lambda _: None)
    monkeypatch.setattr(stages.features, "build_backbone", lambda *_: None)
    monkeypatch.setattr(stages.features, "trunk_work", lambda _: None)
    monkeypatch.setattr(stages.features, "cut_network", lambda *_: small_network())

    def resumable(_: Path, identity: str) -> None:
        raise BegunError(identity)

    monkeypatch.setattr(stages.features, "resumable_folder", resumable)

    def begin(**changes: object) -> str:
        write_params({key.replace("__", "."): value for key, value in changes.items()})
        with pytest.raises(BegunError) as begun:
            stages.features.main("MobileNet")
        return str(begun.value)

    return begin


def test_features_are_others_once_what_they_depend_on_changes(begin: Begin) -> None:
    identities = {begin(), begin(datasets__sample__image_size=[40, 40]), begin(fine_tune__layers=7)}
    views = AUGMENTED / "views-00000.npy"
    for changed in (MANIFEST, AUGMENTED / INDEX, weights_file("MobileNet"), views):
        with changed.open("ab") as file:
            file.write(b"\n")
        identities.add(begin())

    assert len(identities) == 7
    assert begin() in identities


def test_features_beyond_their_limit_are_not_begun(begin: Begin) -> None:
    with pytest.raises(PipelineError, match=r"more than features\.max_gigabytes"):
        begin(features__max_gigabytes=1e-9)
