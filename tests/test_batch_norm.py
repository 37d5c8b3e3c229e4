"""Batch norm that learns: it starts where the backbone is, and trains as Keras's own does."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from trashnet.batch_norm import let_batch_norm_learn
from trashnet.fast_training import FusedBatchNormalization, copy_for_training
from trashnet.networks import build_backbone, cut_network, settle_random_weights
from trashnet.weights import write_random_weights_note

IMAGE_SIZE = (64, 64)
LAYERS = pytest.mark.parametrize("layers", [20, 10_000], ids=["20 layers", "all layers"])


class Cut:
    """A tail with random weights, and activations of photos other than it was made for."""

    def __init__(self, model: str, layers: int, folder: Path) -> None:
        weights = folder / "random.weights.h5"
        write_random_weights_note(weights)
        pixels = np.random.default_rng(0).integers(0, 256, (12, *IMAGE_SIZE, 3))
        backbone = build_backbone(model, IMAGE_SIZE, weights)
        settle_random_weights(model, backbone, pixels.astype(np.uint8))
        self.trunk, self.tail = cut_network(model, backbone, layers)
        darker = (pixels // 3).astype("float32")
        self.activations = np.asarray(self.trunk(darker, training=False))

    def answers(self, training: bool) -> np.ndarray:
        copy = copy_for_training(self.tail, "float32")
        return np.asarray(copy(self.activations, training=training))


@pytest.fixture(params=["MobileNetV2", "MobileNetV3Small", "EfficientNetV2S"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@LAYERS
def test_letting_it_learn_changes_no_answer(model: str, layers: int, tmp_path: Path) -> None:
    cut = Cut(model, layers, tmp_path)
    before = np.asarray(cut.tail(cut.activations, training=False))

    let_batch_norm_learn(cut.tail, cut.activations[:6])

    after = np.asarray(cut.tail(cut.activations, training=False))
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


@LAYERS
def test_the_first_training_step_sees_the_same_answers(layers: int, tmp_path: Path) -> None:
    """Normalizing by the batch's moments, which destroys a network they were not measured for."""
    cut = Cut("MobileNetV2", layers, tmp_path)
    before = np.asarray(cut.tail(cut.activations, training=False))

    let_batch_norm_learn(cut.tail, cut.activations)

    np.testing.assert_allclose(cut.answers(training=True), before, atol=1e-2 * np.abs(before).max())


def test_only_layers_that_learn_are_followed_by_it(tmp_path: Path) -> None:
    cut = Cut("MobileNetV2", 21, tmp_path)
    frozen_before = {layer.name for layer in cut.tail.layers[:-21]}

    let_batch_norm_learn(cut.tail, cut.activations)

    learning = [
        layer.name
        for layer in cut.tail.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    assert len(learning) >= 5
    assert frozen_before.isdisjoint(learning)


def test_training_moves_its_moments_scale_and_offset(tmp_path: Path) -> None:
    cut = Cut("MobileNetV2", 20, tmp_path)
    let_batch_norm_learn(cut.tail, cut.activations)
    copy = copy_for_training(cut.tail, "bfloat16")
    norm = copy.get_layer("Conv_1_bn")
    before = norm.get_weights()
    copy.compile(keras.optimizers.Adam(0.01), "mse")

    copy.fit(1 + cut.activations, np.ones((12, *copy.output_shape[1:])), verbose=0)

    assert all(np.any(new != old) for new, old in zip(norm.get_weights(), before, strict=True))


def test_one_kernel_trains_as_keras_does() -> None:
    inputs = tf.random.stateless_normal((8, 5, 4, 3), seed=(0, 1), mean=2.0, stddev=3.0)
    keras_own = keras.layers.BatchNormalization(momentum=0.9)
    fused = FusedBatchNormalization()
    keras_own.build(inputs.shape)
    fused.build(inputs.shape)
    gradients = []
    for layer in (keras_own, fused):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.sin(layer(inputs, training=True)))
        gradients.append(tape.gradient(total, [inputs, layer.gamma.value, layer.beta.value]))

    for of_fused, of_keras in zip(gradients[1], gradients[0], strict=True):
        np.testing.assert_allclose(of_fused, of_keras, atol=1e-4)
    # Keras keeps the variance of the batch, TensorFlow's kernel that of what it is drawn from.
    np.testing.assert_allclose(fused.moving_mean, keras_own.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, keras_own.moving_variance, rtol=0.01)


def test_frozen_it_stays_frozen_in_the_copy(tmp_path: Path) -> None:
    cut = Cut("MobileNetV2", 20, tmp_path)

    np.testing.assert_array_equal(cut.answers(training=True), cut.answers(training=False))


def test_letting_it_learn_changes_no_answer_of_a_network_that_scales(tmp_path: Path) -> None:
    """Fresh batch norms scale by 1, pretrained ones by anything; so does one that was measured."""
    cut = Cut("MobileNetV3Small", 20, tmp_path)
    let_batch_norm_learn(cut.tail, cut.activations[:6])
    before = np.asarray(cut.tail(cut.activations, training=False))

    let_batch_norm_learn(cut.tail, cut.activations[6:])

    after = np.asarray(cut.tail(cut.activations, training=False))
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_where_all_layers_learn_all_batch_norms_do(tmp_path: Path) -> None:
    cut = Cut("MobileNetV3Small", 10_000, tmp_path)

    let_batch_norm_learn(cut.tail, cut.activations)

    layers = cut.tail.get_layer("MobileNetV3Small").layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(norm.trainable for norm in norms)


def test_one_without_a_scale_stays_frozen_beside_one_that_learns() -> None:
    """The Inceptions have such batch norms, which cannot undo what other moments change."""
    random = np.random.default_rng(0)
    activations = random.normal(3, 2, (12, 8, 8, 4)).astype(np.float32)
    frozen = keras.layers.BatchNormalization(scale=False, trainable=False)
    learned = keras.layers.BatchNormalization(trainable=False)
    tail = keras.Sequential(
        [keras.Input((8, 8, 4)), keras.layers.Conv2D(4, 1), frozen, keras.layers.ReLU(), learned]
    )
    before = np.asarray(tail(activations, training=False))

    let_batch_norm_learn(tail, activations)

    np.testing.assert_allclose(tail(activations, training=False), before, atol=1e-5)
    assert (frozen.trainable, learned.trainable) == (False, True)
