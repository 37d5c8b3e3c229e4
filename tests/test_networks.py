"""Backbones: the cut, frozen batch norm, random weights, LiteRT's answers and training copies."""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks_work import IMAGE_SIZE, settled_backbone

from trashnet.backbones import BACKBONES
from trashnet.fast_training import copy_for_training
from trashnet.networks import build_backbone, compile_inference, cut_network, scale_pixels

CUTS_AT_20_LAYERS = {
    "MobileNet": "conv_pw_10_bn",
    "MobileNetV2": "block_14_add",
    "MobileNetV3Small": "expanded_conv_8_project_bn",
    "MobileNetV3Large": "expanded_conv_12_project_bn",
    "ResNet101V2": "conv5_block1_out",
    "ResNet152V2": "conv5_block1_out",
    "EfficientNetV2S": "block6m_add",
}


class Built(NamedTuple):
    """A backbone with random weights and batch norm set to the photos at hand."""

    name: str
    backbone: keras.Model


@pytest.fixture(scope="module", params=BACKBONES)
def built(request: pytest.FixtureRequest, random_weights: Path, pixels: np.ndarray) -> Built:
    return Built(request.param, settled_backbone(request.param, random_weights, pixels))


@pytest.fixture
def known(built: Built) -> Built:
    """Return a backbone of which the tests know more than its entry says; pass over others."""
    if built.name not in CUTS_AT_20_LAYERS:
        pytest.skip(f"{built.name} is not in CUTS_AT_20_LAYERS")
    return built


def whole(name: str, backbone: keras.Model) -> keras.Model:
    source = keras.Input((*IMAGE_SIZE, 3))
    return keras.Model(source, backbone(scale_pixels(name, source)))


def test_trunk_then_tail_equals_the_whole_backbone(built: Built, pixels: np.ndarray) -> None:
    expected = whole(*built)(pixels[:2].astype("float32"), training=False).numpy()

    for layers in (0, 20, 10_000):
        network = cut_network(built.name, built.backbone, layers)
        joined = network.tail(network.trunk(pixels[:2].astype("float32"), training=False))
        np.testing.assert_allclose(joined.numpy(), expected, rtol=1e-4, atol=1e-4)

    assert expected.std() > 0.05  # the comparison compares something


def test_the_cut_is_where_one_tensor_last_crosses(known: Built) -> None:
    network = cut_network(known.name, known.backbone, 20)
    below = network.trunk.get_layer("below_cut")
    assert below.output._keras_history.operation.name == CUTS_AT_20_LAYERS[known.name]


def test_batch_norm_stays_frozen_under_fit(built: Built) -> None:
    network = cut_network(built.name, built.backbone, 20)
    norms = [
        layer
        for layer in built.backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [norm.get_weights() for norm in norms]
    activations = np.ones((4, *network.tail.input_shape[1:]), np.float32)
    pooled = keras.layers.GlobalAveragePooling2D()(network.tail.output)
    model = keras.Model(network.tail.input, keras.layers.Dense(2)(pooled))

    model.compile(keras.optimizers.SGD(1e-6), "mse", jit_compile=False)
    model.fit(activations, np.ones((4, 2)), verbose=0)

    for norm, weights in zip(norms, before, strict=True):
        for now, then in zip(norm.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)


def test_each_backbone_sees_its_input_scaled_once(known: Built) -> None:
    """Black and white reach the first convolution as -1 and 1.

    EfficientNetV2S and MobileNetV3 scale inside; the others are scaled by us.
    EfficientNetV2S divides by 128, so its white is 0.992.
    """
    source = keras.Input((*IMAGE_SIZE, 3))
    first_convolution = next(
        layer for layer in known.backbone.layers if isinstance(layer, keras.layers.Conv2D)
    )
    before = keras.Model(known.backbone.input, first_convolution.input)
    scaled = keras.Model(source, before(scale_pixels(known.name, source)))

    black, white = np.zeros((1, *IMAGE_SIZE, 3)), np.full((1, *IMAGE_SIZE, 3), 255.0)

    inside = (slice(None), slice(4, -4), slice(4, -4))  # apart from zero padding
    np.testing.assert_allclose(scaled(black).numpy()[inside], -1, atol=0.01)
    np.testing.assert_allclose(scaled(white).numpy()[inside], 1, atol=0.01)


def test_exactly_the_last_layers_learn_but_for_batch_norm(random_weights: Path) -> None:
    backbone = build_backbone("MobileNetV2", IMAGE_SIZE, random_weights)
    cut_network("MobileNetV2", backbone, 20)
    learning = {layer.name for layer in backbone.layers if layer.trainable}
    expected = {
        layer.name
        for layer in backbone.layers[-20:]
        if not isinstance(layer, keras.layers.BatchNormalization)
    }
    assert learning == expected


def test_litert_agrees_with_keras(built: Built, pixels: np.ndarray) -> None:
    trunk = cut_network(built.name, built.backbone, 20).trunk
    expected = trunk(pixels.astype("float32"), training=False).numpy()

    run = compile_inference(trunk)

    for photos in (16, 3):
        (outputs,) = run(pixels[:photos])
        assert np.abs(outputs - expected[:photos]).max() < 1e-3 * np.abs(expected).max()


def test_random_weights_have_a_seed_of_their_own(random_weights: Path) -> None:
    keras.utils.set_random_seed(1)
    first = build_backbone("MobileNetV2", IMAGE_SIZE, random_weights).get_weights()
    keras.utils.set_random_seed(2)
    second = build_backbone("MobileNetV2", IMAGE_SIZE, random_weights).get_weights()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def gradients(tail: keras.Model, activations: tf.Tensor) -> list[np.ndarray]:
    """Return the gradient of a weighted sum of outputs, one array a trainable weight."""
    with tf.GradientTape() as tape:
        outputs = tail(activations, training=False)
        total = tf.reduce_sum(outputs * tf.cos(tf.range(outputs.shape[-1], dtype=tf.float32)))
    return [gradient.numpy() for gradient in tape.gradient(total, tail.trainable_weights)]


def test_float32_copy_computes_the_same(built: Built, pixels: np.ndarray) -> None:
    network = cut_network(built.name, built.backbone, 20)
    activations = network.trunk(pixels[:2].astype("float32"), training=False)

    fast = copy_for_training(network.tail, "float32")

    exact = network.tail(activations, training=False).numpy()
    np.testing.assert_allclose(
        fast(activations, training=False), exact, atol=1e-5 * np.abs(exact).max()
    )
    for of_copy, original in zip(
        gradients(fast, activations), gradients(network.tail, activations), strict=True
    ):
        np.testing.assert_allclose(of_copy, original, atol=1e-4 * np.abs(original).max())


def test_bfloat16_copy_says_nearly_the_same(built: Built, pixels: np.ndarray) -> None:
    network = cut_network(built.name, built.backbone, 20)
    activations = network.trunk(pixels[:2].astype("float32"), training=False)

    fast = copy_for_training(network.tail, "bfloat16")(activations, training=False).numpy()

    exact = network.tail(activations, training=False).numpy()
    assert 0 < np.abs(fast - exact).mean() < 0.05 * exact.std()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [20, 10_000], ids=["20 layers", "all layers"])
def test_copy_learns_the_same_float32_weights(built: Built, layers: int, precision: str) -> None:
    tail = cut_network(built.name, built.backbone, layers).tail

    fast = copy_for_training(tail, precision)

    assert {weight.dtype for weight in fast.weights} == {"float32"}
    assert [weight.path for weight in fast.trainable_weights] == [
        weight.path for weight in tail.trainable_weights
    ]
    for copied, original in zip(fast.get_weights(), tail.get_weights(), strict=True):
        np.testing.assert_array_equal(copied, original)


def test_as_many_layers_as_there_are_put_the_cut_at_the_pixels(random_weights: Path) -> None:
    backbone = build_backbone("MobileNetV2", IMAGE_SIZE, random_weights)

    trunk, _ = cut_network("MobileNetV2", backbone, len(backbone.layers))

    assert trunk.input is trunk.output
