"""Batch norm that learns in fine-tuning and starts from what the backbone computes."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf


def let_batch_norm_learn(tail: keras.Model, activations: np.ndarray) -> None:
    """Make batch norms behind the first layer that learns trainable, the output unchanged.

    Each one gets the mean and variance of what it is shown here, and the scale
    and offset that undo the change. Without this, training would normalize by
    moments that the weights were not made for: those of other photos, or, where
    weights were published with batch norm folded into the kernels, a mean of 0
    and a variance of 1, which destroys such a network with the first batch.
    Batch norms without a scale or an offset, as the Inceptions have them, cannot
    undo the change and stay frozen.

    Parameters
    ----------
    tail : keras.Model
        Changed in place.
    activations : float or uint8 array, shape (n, ...)
        Some hundred photos at the cut.
    """
    measuring = keras.models.clone_model(tail, clone_function=_copy_to_measure, recursive=True)
    measuring.set_weights(tail.get_weights())
    # Called outside of a graph, a model holds every layer's output until its end.
    measure = tf.function(lambda batch: measuring(batch, training=False), jit_compile=False)
    measure(activations.astype(np.float32))
    tail.set_weights(measuring.get_weights())
    learning = False
    for layer in _layers(tail):
        learning = learning or bool(layer.trainable_weights)
        if learning and _can_undo(layer):
            layer.trainable = True


class _MeasuringBatchNorm(keras.layers.BatchNormalization):
    """Takes over the moments of its input before it answers, and answers as before."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        mean, variance = keras.ops.moments(inputs, axes=[0, 1, 2])
        deviation_before = keras.ops.sqrt(self.moving_variance + self.epsilon)
        self.beta.assign_add(self.gamma * (mean - self.moving_mean) / deviation_before)
        self.gamma.assign(self.gamma * keras.ops.sqrt(variance + self.epsilon) / deviation_before)
        self.moving_mean.assign(mean)
        self.moving_variance.assign(variance)
        return super().call(inputs, training=False)


def _copy_to_measure(layer: keras.Layer) -> keras.Layer:
    kind = _MeasuringBatchNorm if _can_undo(layer) else type(layer)
    return kind.from_config(layer.get_config())


def _can_undo(layer: keras.Layer) -> bool:
    """Say whether a layer is a batch norm that can make up for other moments."""
    return isinstance(layer, keras.layers.BatchNormalization) and layer.scale and layer.center


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
