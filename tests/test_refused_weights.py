"""Weights and photos that a backbone cannot use are refused in a sentence that names them."""

from pathlib import Path
from unittest.mock import Mock

import keras
import pytest

from trashnet.errors import PipelineError
from trashnet.networks import build_backbone
from trashnet.weights import random_weights_seed, write_random_weights_note

IMAGE_SIZE = (64, 64)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    other = keras.applications.MobileNet(include_top=False, weights=None)
    other.save_weights(path)
    with pytest.raises(PipelineError, match=r"does not hold weights of .*MobileNetV2"):
        build_backbone("MobileNetV2", IMAGE_SIZE, path)


def test_what_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    path.write_text("<html>not found</html>")
    with pytest.raises(PipelineError, match="not an HDF5 weights file"):
        build_backbone("MobileNetV2", IMAGE_SIZE, path)


def test_weights_cut_short_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    write_random_weights_note(path)
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(PipelineError, match=r"weights\.h5 .*damaged"):
        build_backbone("MobileNetV2", IMAGE_SIZE, path)


def test_weights_whose_root_is_broken_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    write_random_weights_note(path)
    broken = bytearray(path.read_bytes())
    broken[112] ^= 0xFF  # in the header of the root group, which h5py answers by a KeyError
    path.write_bytes(broken)

    with pytest.raises(PipelineError, match=r"weights\.h5 .*damaged"):
        random_weights_seed(path)


def test_weights_whose_groups_are_broken_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None).save_weights(path)
    fault = RuntimeError("Unable to synchronously get group info (wrong B-tree signature)")
    monkeypatch.setattr(keras.Model, "load_weights", Mock(side_effect=fault))

    with pytest.raises(PipelineError, match=r"does not hold weights .*wrong B-tree signature"):
        build_backbone("MobileNetV2", IMAGE_SIZE, path)


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"V2\.weights\.h5 is missing; run `dvc repro`"):
        random_weights_seed(tmp_path / "MobileNetV2.weights.h5")


def test_photos_too_small_for_a_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "MobileNetV2.weights.h5"
    write_random_weights_note(path)

    with pytest.raises(PipelineError, match="MobileNetV2 takes no photos of 16 x 20 pixels"):
        build_backbone("MobileNetV2", (16, 20), path)
