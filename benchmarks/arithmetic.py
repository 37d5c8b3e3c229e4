"""Hold the frozen trunks against what the machine can multiply and move.

Run from the repository's root, on a machine with nothing else to do:

    python -m benchmarks.arithmetic

First the machine: the largest rate of a float32 matrix product (each
multiplication and each addition an operation), and the bandwidth of copying
arrays much larger than the caches (bytes read and written). Then a line a
backbone: operations and bytes of one photo through trunk and frozen tail, at the
size of TrashNet, and the trunk's share of the operations; what a view's features
take on disk; photos a second of both parts as `features` runs them; and which
share of the machine's arithmetic and bandwidth that is. The bytes are those of
every layer's input, output and weights, each once, but for batch norm and
activation functions, which are folded into the convolution before them: caches
keep part of that traffic from the memory, so the share may pass 1.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from benchmarks import run_benchmark
from benchmarks.random_weights import build_random_backbone
from stages.features import bytes_a_view, with_pooled_output
from trashnet.backbones import BACKBONES
from trashnet.networks import Network, Runner, compile_inference, cut_network

BATCH_SIZE = 32
ROUNDS = 5
TRAINABLE_LAYERS = 20
MATRIX_SIZE = 2048
COPY_BYTES = 2**28
FLOAT_BYTES = 4


def main() -> None:
    """Print what the machine can do, and a line a backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(BACKBONES))
    parser.add_argument("--image-size", type=int, nargs=2, default=(192, 256))
    arguments = parser.parse_args()
    flops, bandwidth = peak_flops(), peak_bandwidth()
    print(
        f"{len(os.sched_getaffinity(0))} cores: {flops / 1e9:.0f} Gflop/s, "
        f"{bandwidth / 1e9:.1f} GB/s"
    )
    for name in arguments.models:
        network, model, run = load(name, tuple(arguments.image_size))
        pixels = np.zeros((BATCH_SIZE, *arguments.image_size, 3), np.uint8)
        photos_a_second = BATCH_SIZE / shortest_seconds(lambda: run(pixels))  # noqa: B023
        operations, moved = operations_of(model), bytes_of(model)
        print(
            f"{name:17} {operations / 1e9:5.2f} Gflop, "
            f"{operations_of(network.trunk) / operations:3.0%} in the trunk, "
            f"{moved / 1e6:6.1f} MB, "
            f"{bytes_a_view(network) / 1e3:5.1f} kB of features   "
            f"{photos_a_second:6.1f} photos/s   "
            f"{photos_a_second * operations / flops:4.0%} of the arithmetic   "
            f"{photos_a_second * moved / bandwidth:4.0%} of the bandwidth",
            flush=True,
        )


def peak_flops() -> float:
    """Return operations a second of a float32 matrix product on all cores."""
    matrix = tf.random.normal((MATRIX_SIZE, MATRIX_SIZE))
    return 2 * MATRIX_SIZE**3 / shortest_seconds(lambda: tf.matmul(matrix, matrix).numpy())


def peak_bandwidth() -> float:
    """Return bytes a second, read and written, of copying memory on all cores."""
    cores = len(os.sched_getaffinity(0))
    sources = [np.ones(COPY_BYTES, np.uint8) for _ in range(cores)]
    targets = [np.zeros(COPY_BYTES, np.uint8) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        # Copying releases the interpreter's lock.
        seconds = shortest_seconds(lambda: list(pool.map(np.copyto, targets, sources)))
    return 2 * cores * COPY_BYTES / seconds


def shortest_seconds(action: Callable[[], object]) -> float:
    """Return the shortest of some runs, after one that does not count."""
    action()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


def load(name: str, image_size: tuple[int, int]) -> tuple[Network, keras.Model, Runner]:
    """Return a network with random weights in two parts, the parts as one model, and its runner."""
    network = cut_network(name, build_random_backbone(name, image_size), TRAINABLE_LAYERS)
    model = with_pooled_output(network)
    return network, model, compile_inference(model)


def operations_of(model: keras.Model) -> int:
    """Count the multiplications and additions of the convolutions for one photo.

    A convolution's outputs each take 2 x kernel height x kernel width x input
    channels operations, a depthwise one's 2 x kernel height x kernel width.
    The rest of these networks is less than two hundredths of that.
    """
    operations = 0
    for layer in layers_of(model):
        if is_convolution(layer):
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            channels = 1 if depthwise else layer.input.shape[-1]
            outputs = int(np.prod(layer.output.shape[1:]))
            operations += 2 * outputs * channels * int(np.prod(layer.kernel_size))
    return operations


def bytes_of(model: keras.Model) -> int:
    """Count the bytes of every layer's inputs, outputs and weights, in float32.

    Batch norm and rectifiers are left out: both runtimes fold them into the
    convolution before them.
    """
    floats = 0
    for layer in layers_of(model):
        if isinstance(layer, keras.layers.InputLayer | keras.layers.BatchNormalization):
            continue
        if isinstance(layer, keras.layers.ReLU | keras.layers.Activation):
            continue
        tensors = [*tf.nest.flatten(layer.input), *tf.nest.flatten(layer.output)]
        floats += sum(int(np.prod(tensor.shape[1:])) for tensor in tensors)
        floats += sum(int(np.prod(weight.shape)) for weight in layer.weights)
    return FLOAT_BYTES * floats


def is_convolution(layer: keras.Layer) -> bool:
    """Say whether a layer is a convolution of either kind."""
    return isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)


def layers_of(model: keras.Model) -> list[keras.Layer]:
    """Return the layers of a model and of the models in it."""
    nested = [
        layers_of(layer) if isinstance(layer, keras.Model) else [layer] for layer in model.layers
    ]
    return [layer for layers in nested for layer in layers]


if __name__ == "__main__":
    run_benchmark(main)
