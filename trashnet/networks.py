"""Backbones of Keras Applications, cut into a frozen trunk and a tail that may learn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trashnet.backbones import BACKBONES
from trashnet.errors import PipelineError
from trashnet.litert import convert, make_runner
from trashnet.weights import random_weights_seed

UNSHIFTED_BATCH_NORMS = 3
BATCH_NORM_SHIFT = 2.0
"""Standard deviations by which random backbones' later batch norms shift their output."""

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_DEVIATION = [0.229, 0.224, 0.225]
SCALE_AND_OFFSET = {
    "tf": (1 / 127.5, -1),
    "torch": (
        [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION],
        [-mean / dev for mean, dev in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
    ),
    "caffe": (1, [-103.939, -116.779, -123.68]),
}
"""The arithmetic of each `Backbone.preprocessing` but "itself": pixels times scale plus offset."""

Runner = Callable[[np.ndarray], list[np.ndarray]]


class Network(NamedTuple):
    """A backbone in two parts; trunk then tail is the whole.

    Attributes
    ----------
    trunk : keras.Model
        RGB pixels, float32 in [0, 255], shape (n, height, width, 3), to the
        activations at the cut. Never trained.
    tail : keras.Model
        Activations at the cut to the last feature map, shape (n, h, w, c).
        The layers that may learn are trainable, all others are frozen.
    """

    trunk: keras.Model
    tail: keras.Model


def build_backbone(name: str, image_size: Sequence[int], weights: Path) -> keras.Model:
    """Build a backbone without its classifier and load its weights.

    Parameters
    ----------
    name : str
        A key of `BACKBONES`.
    image_size : sequence of two int
        Height and width in pixels.
    weights : Path
        A Keras ``.weights.h5`` file, or one that only names the seed of random
        weights.

    Raises
    ------
    PipelineError
        If the backbone takes no photos of that size, or the file does not fit it.
    """
    seed = random_weights_seed(weights)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    architecture = getattr(keras.applications, name)
    try:
        backbone = architecture(include_top=False, weights=None, input_shape=(*image_size, 3))
    except ValueError as error:
        raise PipelineError(
            f"keras.applications.{name} takes no photos of {image_size[0]} x {image_size[1]} "
            f"pixels ({' '.join(str(error).split()).rstrip('.')}); set datasets.<name>.image_size "
            f"to more, or take {name} out of models."
        ) from None
    if seed is None:
        try:
            backbone.load_weights(weights)
        except (ValueError, KeyError, OSError, RuntimeError) as error:  # h5py's, too
            raise PipelineError(
                f"{weights} does not hold weights of keras.applications.{name} without its top "
                f"({' '.join(str(error).split())}); point datasets.<name>.pretrained elsewhere."
            ) from None
    return backbone


def scale_pixels(name: str, pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Scale RGB pixels in [0, 255] to what the backbone's Keras model expects as input."""
    preprocessing = BACKBONES[name].preprocessing
    if preprocessing == "itself":
        return pixels
    if preprocessing == "caffe":
        # To BGR. Not by `flip`: the addition below overwrites its output while `quantize` measures
        # that, which so gets another range than its input, and the kernel in integers ignores that.
        pixels = keras.ops.take(pixels, [2, 1, 0], axis=-1)
    return keras.layers.Rescaling(*SCALE_AND_OFFSET[preprocessing], name="scale_pixels")(pixels)


def cut_network(name: str, backbone: keras.Model, trainable_layers: int) -> Network:
    """Cut a backbone at the last point below the layers that learn where one tensor crosses.

    Parameters
    ----------
    name : str
        A key of `BACKBONES`.
    backbone : keras.Model
        From `build_backbone`; its layers are shared with the result, and their
        ``trainable`` flags are set.
    trainable_layers : int
        How many of the backbone's last layers may learn. All of them, or more,
        puts the cut at the pixels; 0 puts it at the last feature map. Batch
        norm stays frozen everywhere: only ``trainable = False`` on the layer
        itself holds under Keras 3's ``fit``.
    """
    _freeze_all_but(backbone, trainable_layers)
    cut = _cut_tensor(backbone, trainable_layers)
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    if cut is backbone.input:
        trunk = keras.Model(pixels, pixels, name="trunk")
        tail = keras.Model(pixels, backbone(scale_pixels(name, pixels)), name="tail")
    else:
        below = keras.Model(backbone.input, cut, name="below_cut")
        trunk = keras.Model(pixels, below(scale_pixels(name, pixels)), name="trunk")
        if cut is backbone.output:
            cut = keras.Input(cut.shape[1:], name="features")
            tail = keras.Model(cut, cut, name="tail")
        else:
            tail = keras.Model(cut, backbone.output, name="tail")
    return Network(trunk, tail)


def settle_random_weights(name: str, backbone: keras.Model, pixels: np.ndarray) -> None:
    """Make freshly drawn weights pass on what a photo shows, so that a head can learn from it.

    Untouched, they give activations of 1e-13 or 100, depending on the
    backbone, and networks as deep as these scramble their input: behind each
    rectifier similar photos grow less alike (Yang et al. 2019, "A mean field
    theory of batch normalization"), and each random depthwise kernel filters
    out the colour of areas. Therefore every batch norm gets the mean and
    variance of `pixels`; all but the first few, which respond to texture, are
    shifted so far that most units stay in their rectifier's linear part; and
    depthwise kernels are made positive.

    Parameters
    ----------
    name : str
        A key of `BACKBONES`.
    backbone : keras.Model
        Changed in place.
    pixels : uint8 array, shape (n, height, width, 3)
        Some dozens of photos.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.kernel.assign(keras.ops.absolute(layer.kernel))
    norms = [
        layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for norm in norms[UNSHIFTED_BATCH_NORMS:]:
        norm.beta.assign(keras.ops.full_like(norm.beta, BATCH_NORM_SHIFT))

    usual_momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.trainable = True
        norm.momentum = 0.0  # with the usual 0.99 one pass would move nothing
    source = keras.Input(backbone.input_shape[1:])
    whole = keras.Model(source, backbone(scale_pixels(name, source)))
    # Called outside of a graph, a model holds every layer's output until its end.
    forward = tf.function(lambda batch: whole(batch, training=True), jit_compile=False)
    forward(pixels.astype("float32"))
    for norm, momentum in zip(norms, usual_momenta, strict=True):
        norm.momentum = momentum


def compile_inference(model: keras.Model) -> Runner:
    """Return the fastest way to run a network on many photos: a GPU if there is one, else LiteRT.

    LiteRT's kernels for processors are 1.1 (ResNets) to 2.7 times as fast as
    TensorFlow's (python -m benchmarks.runtimes). For a single answer of a large
    network `Classifier.predictor` is faster: it converts nothing and gives the
    photo all cores (python -m benchmarks.answer_speed).

    Parameters
    ----------
    model : keras.Model
        Pixels to one or more outputs.

    Returns
    -------
    callable
        Takes uint8 pixels of shape (n, height, width, 3), any n, and returns
        the model's outputs as a list of float32 arrays.
    """
    if not tf.config.list_physical_devices("GPU"):
        return make_runner(convert(model))
    tf.config.experimental.enable_op_determinism()
    forward = tf.function(
        lambda pixels: model(pixels, training=False),
        jit_compile=False,
        # One trace for every batch size; ResNet152V2 takes five seconds for each.
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)],
    )

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        outputs = forward(tf.cast(pixels, tf.float32))
        return [output.numpy() for output in tf.nest.flatten(outputs)]

    return run


def pack_network(model: keras.Model) -> np.ndarray:
    """Pack a frozen network to be sent to a machine of a cluster: uint8, of LiteRT's format."""
    return np.frombuffer(convert(model), np.uint8)


def unpack_network(packed: np.ndarray) -> Runner:
    """Make a packed network run on one core, with the outputs of `compile_inference` on a CPU."""
    return make_runner(packed.tobytes(), cores=1)


def _freeze_all_but(backbone: keras.Model, trainable_layers: int) -> None:
    first_trainable = len(backbone.layers) - trainable_layers
    for position, layer in enumerate(backbone.layers):
        frozen = isinstance(layer, keras.layers.BatchNormalization) or position < first_trainable
        layer.trainable = not frozen


def _cut_tensor(backbone: keras.Model, trainable_layers: int) -> keras.KerasTensor:
    if trainable_layers == 0:
        return backbone.output
    if trainable_layers >= len(backbone.layers):
        return backbone.input
    operations = backbone.operations
    above = operations.index(backbone.layers[-trainable_layers])
    while len(crossing := _tensors_crossing(operations, above)) > 1:
        above -= 1
    return crossing[0]


def _tensors_crossing(operations: list[keras.Operation], above: int) -> list[keras.KerasTensor]:
    """Return the tensors that operations from position `above` on take from those before it."""
    below = {id(operation) for operation in operations[:above]}
    tensors = {
        id(tensor): tensor
        for operation in operations[above:]
        for tensor in _inputs(operation)
        if id(tensor._keras_history.operation) in below
    }
    return list(tensors.values())


def _inputs(operation: keras.Operation) -> list[keras.KerasTensor]:
    # Each backbone was built once, so its operations were called once: node 0.
    inputs: list[keras.KerasTensor] = operation._inbound_nodes[0].input_tensors
    return inputs
