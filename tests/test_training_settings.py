"""What `train` makes of its parameters, with a network of one convolution."""

from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
from params_work import write_params

import stages.train
from trashnet.classifier import Classifier, classifier_file, load_classifier, save_classifier
from trashnet.dataset import SPLITS
from trashnet.fast_training import copy_for_training
from trashnet.features import PHOTOS, POOLED, TRUNK, WEIGHTS, features_folder
from trashnet.networks import Network

SPLIT = np.resize(["train", "train", "train", "val", "test"], 60)


def small_network() -> Network:
    """Return a trunk that changes nothing, and a tail of a convolution and its frozen norm."""
    keras.utils.set_random_seed(1)
    pixels, cut = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    norm = keras.layers.BatchNormalization(name="norm")
    tail = keras.Model(cut, norm(keras.layers.Conv2D(4, 1, strides=8)(cut)), name="tail")
    norm.trainable = False
    return Network(keras.Model(pixels, pixels, name="trunk"), tail)


@pytest.fixture
def pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Lay out features and splits of 60 photos, in another order; return the pooled features."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages.train, "build_network", lambda *_: small_network())
    folder = features_folder("Net")
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    held_out = (SPLIT != "train")[:, None, None]
    pooled = random.normal(held_out, 1, (60, 2, 4)).astype(np.float32)
    np.save(folder / TRUNK, random.normal(3, 1, (60, 2, 32, 32, 3)).astype(np.float16))
    np.save(folder / POOLED, pooled)
    (folder / WEIGHTS).touch()
    labels = np.resize(["glass", "paper"], 60)
    photos = pd.DataFrame({"path": [f"{label}/{i}.jpg" for i, label in enumerate(labels)]})
    photos.to_csv(folder / PHOTOS, index=False)
    splits = photos.assign(label=labels, group="", split=SPLIT, reason="")
    splits.sort_values("path").to_csv(SPLITS, index=False)
    return pooled


def train(**changes: object) -> keras.Model:
    """Run the stage with few epochs and some other settings; return the model that it saved."""
    few = {"initial.epochs": 1, "fine_tune.epochs": 1, "mirror_images": False}
    write_params(few | {key.replace("__", "."): value for key, value in changes.items()})
    stages.train.main("Net")
    return load_classifier(classifier_file("Net")).model


def test_features_are_standardized_by_training_photos_alone(pooled: np.ndarray) -> None:
    standardize = train(fine_tune__epochs=0).get_layer("head").get_layer("standardize")

    expected = pooled[SPLIT == "train"].mean(axis=(0, 1))
    np.testing.assert_allclose(np.ravel(standardize.mean), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fine_tuning_computes_in_the_precision_of_params(
    precision: str, pooled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Mock(side_effect=copy_for_training)
    monkeypatch.setattr(stages.train, "copy_for_training", copy)

    train(precision=precision)

    assert copy.call_args.args[1] == precision


@pytest.mark.parametrize(("batch_norm", "learns"), [("learned", True), ("frozen", False)])
def test_batch_norm_learns_where_params_say_so(
    batch_norm: str, learns: bool, pooled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.train, "beats", lambda *_: True)

    tail = train(fine_tune__batch_norm=batch_norm).get_layer("tail")

    before = small_network().tail.get_layer("norm").get_weights()
    after = tail.get_layer("norm").get_weights()
    changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert changed == [learns] * 4


def test_the_head_is_that_of_params(pooled: np.ndarray) -> None:
    head = train(fine_tune__epochs=0, head__units=[5], head__dropout=0.3).get_layer("head")

    assert [layer.units for layer in head.layers if hasattr(layer, "units")] == [5, 2]
    assert {layer.rate for layer in head.layers if hasattr(layer, "rate")} == {0.3}


def test_fine_tuning_keeps_its_state_until_the_model_is_there(
    pooled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trashnet.resumable.SECONDS_BETWEEN_STATES", 0)
    kept: list[Path] = []

    def look_and_save(classifier: Classifier, path: Path) -> None:
        kept.extend(stages.train.STATE.iterdir())
        save_classifier(classifier, path)

    monkeypatch.setattr(stages.train, "save_classifier", look_and_save)

    train()

    assert [path.name for path in kept] == ["Net.npz"]
    assert list(stages.train.STATE.iterdir()) == []


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_the_phase_kept_is_the_better_one_in_what_is_monitored(
    monitor: str, pooled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Mock(return_value=False)
    monkeypatch.setattr(stages.train, "beats", compare)

    train(early_stopping__monitor=monitor)

    assert compare.call_args.args[2] == monitor


@pytest.mark.parametrize("helps", [True, False])
def test_fine_tuning_is_in_the_model_where_it_helps(
    helps: bool, pooled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.train, "beats", lambda *_: helps)

    alone, both = (train(fine_tune__epochs=epochs) for epochs in (0, 1))

    for part in ("tail", "head"):
        trained = [model.get_layer(part).trainable_weights[0].numpy() for model in (alone, both)]
        assert np.array_equal(*trained) != helps
