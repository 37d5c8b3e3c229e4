"""Pixels are scaled as Keras Applications scales them, those of a new backbone, too."""

import importlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks_work import IMAGE_SIZE, settled_backbone

from trashnet.backbones import BACKBONES, Backbone
from trashnet.classifier import Classifier, assemble, build_head, load_classifier, save_classifier
from trashnet.fast_training import copy_for_training
from trashnet.litert import convert, make_interpreter, quantize
from trashnet.networks import compile_inference, cut_network, scale_pixels

ADDED = {
    "DenseNet121": Backbone(preprocessing="torch"),
    "ResNet50": Backbone(preprocessing="caffe"),
}
"""Entries that somebody might add, of the preprocessings that no present backbone has."""
ENTRIES = ADDED | BACKBONES


def preprocess_input(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what Keras Applications does to pixels in [0, 255], which it may overwrite."""
    module = importlib.import_module(getattr(keras.applications, name).__module__)
    function: Callable[[np.ndarray], np.ndarray] = module.preprocess_input
    return function


@pytest.mark.parametrize("name", ENTRIES)
def test_pixels_are_scaled_as_keras_applications_scales_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, name, ENTRIES[name])
    every_value = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    pixels = np.random.default_rng(0).permuted(every_value, axis=1).T.reshape(1, 16, 16, 3)

    scaled = scale_pixels(name, tf.constant(pixels, tf.float32))

    expected = preprocess_input(name)(pixels.astype(np.float32))
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["MobileNet", *ADDED])
def test_integers_scale_pixels_as_floats_do(
    name: str, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between mirror images and a convolution: there the range of a flip is measured wrongly."""
    monkeypatch.setitem(BACKBONES, name, ENTRIES[name])
    source = keras.Input((*IMAGE_SIZE, 3))
    both = keras.layers.Concatenate(axis=0)([source, keras.ops.flip(source, axis=2)])
    model = keras.Model(source, keras.layers.Conv2D(8, 3)(scale_pixels(name, both)))

    interpreter = make_interpreter(quantize(convert(model), pixels))

    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(taken["index"], pixels[:1])
    interpreter.invoke()
    scale, zero = given["quantization"]
    outputs = (interpreter.get_tensor(given["index"]).astype(np.float32) - zero) * scale
    expected = model(pixels[:1].astype(np.float32)).numpy()
    assert np.abs(outputs - expected).mean() < 0.02 * expected.std()


@pytest.mark.parametrize("name", ADDED)
def test_one_entry_adds_a_backbone(
    name: str,
    random_weights: Path,
    pixels: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut, copied for training, saved and as LiteRT, it says what Keras Applications says."""
    monkeypatch.setitem(BACKBONES, name, ADDED[name])
    backbone = settled_backbone(name, random_weights, pixels)
    photos = pixels[:2].astype(np.float32)
    scaled = preprocess_input(name)(photos.copy())
    expected = backbone(scaled, training=False).numpy()
    assert expected.std() > 0.05  # the comparison compares something

    for layers in (10_000, 20):
        network = cut_network(name, backbone, layers)
        fast = copy_for_training(network.tail, "float32")
        joined = fast(network.trunk(photos, training=False), training=False)
        np.testing.assert_allclose(joined, expected, rtol=1e-3, atol=1e-3)

    pooled = expected.mean(axis=(1, 2))
    head = build_head(pooled.mean(axis=0), pooled.var(axis=0), [], 0.0, classes=3)
    answers = tf.nn.softmax(head(pooled, training=False))
    file = tmp_path / f"{name}.keras"
    save_classifier(Classifier(assemble(network, head), ["a", "b", "c"]), file)
    loaded = load_classifier(file)
    for run in (loaded.predictor(), lambda pixels: compile_inference(loaded.model)(pixels)[0]):
        np.testing.assert_allclose(run(pixels[:2]), answers, atol=1e-3)
