"""A copy of the layers that learn, made for speed: the same weights, cheaper arithmetic."""

import keras
import tensorflow as tf


class PointwiseConv2D(keras.layers.Conv2D):
    """A 1x1 convolution as the matrix product that it is.

    TensorFlow's convolution kernels take longer for it on a CPU, above all
    for the gradient of a bfloat16 kernel (`python -m benchmarks.tail_speed`).
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Multiply each position's channels by the kernel."""
        # Not kernel[0, 0], whose gradient is a copy of the kernel into zeros.
        return keras.ops.tensordot(inputs, keras.ops.reshape(kernel, kernel.shape[2:]), axes=1)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm that trains by one of TensorFlow's kernels; Keras's own takes a chain of them.

    Its moving averages follow faster than those of Keras Applications, which
    remember 100 or 1000 batches: so many are two or twenty epochs of a few
    thousand photos.
    """

    momentum_in_training = 0.9

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        """Normalize by the batch's own moments in training, by the moving averages else."""
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=keras.ops.convert_to_tensor(self.gamma),
            offset=keras.ops.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        follow = 1 - self.momentum_in_training
        self.moving_mean.assign_add(follow * (mean - self.moving_mean))
        self.moving_variance.assign_add(follow * (variance - self.moving_variance))
        return outputs


def copy_for_training(model: keras.Model, precision: str) -> keras.Model:
    """Return a copy that computes the same faster; its weights are float32, in the same order.

    Parameters
    ----------
    model : keras.Model
        The tail; it stays as it is.
    precision : {'float32', 'bfloat16'}
        What convolutions multiply in. Some CPUs do bfloat16 twice as fast, and
        others, even with AVX512_BF16, slower (`python -m benchmarks.tail_speed`
        tells). Depthwise convolutions, batch norm and activations stay
        float32: they wait for memory, not for arithmetic, and TensorFlow's
        bfloat16 kernels for them are slower.
    """

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            return FusedBatchNormalization.from_config(config)
        if type(layer) is not keras.layers.Conv2D:
            return type(layer).from_config(config)
        if precision == "bfloat16":
            config["dtype"] = "mixed_bfloat16"
        pointwise = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
        return (PointwiseConv2D if pointwise else keras.layers.Conv2D).from_config(config)

    fast = keras.models.clone_model(model, clone_function=copy, recursive=True)
    fast.set_weights(model.get_weights())
    return fast
