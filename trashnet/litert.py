"""Keras models as LiteRT flat buffers: converting, quantizing and running them."""

import logging
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator, add_intermediate_tensors


def convert(model: keras.Model) -> bytes:
    """Convert a Keras model to a LiteRT flat buffer in float32 that takes one photo at a time.

    The weights are traced as constants, and what comes of it goes to the
    converter of frozen graphs. TensorFlow's newer converters end in the same
    network, but freeze the graph first, whether it needs that or not, and copy
    it several times for it, which takes as long as all the rest.

    Parameters
    ----------
    model : keras.Model
        With one input, of any batch size.
    """
    trainable = [weight.numpy() for weight in model.trainable_variables]
    others = [weight.numpy() for weight in model.non_trainable_variables]

    def forward(inputs: tf.Tensor) -> tf.Tensor:
        constants = [[tf.constant(weight) for weight in weights] for weights in (trainable, others)]
        outputs, _ = model.stateless_call(*constants, inputs, training=False)
        return outputs

    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    traced = tf.function(forward, jit_compile=False).get_concrete_function(signature)
    source, *captured = traced.inputs
    graph = traced.graph.as_graph_def()
    # What a layer like Normalization holds is not among the model's weights.
    captures = {
        placeholder.op.name: tf.make_tensor_proto(value.numpy())
        for placeholder, value in zip(captured, traced.captured_inputs, strict=True)
    }
    for node in graph.node:
        if node.name in captures:
            node.op = "Const"
            node.attr.clear()
            node.attr["dtype"].type = captures[node.name].dtype
            node.attr["value"].tensor.CopyFrom(captures[node.name])
    logging.getLogger("absl").setLevel(logging.ERROR)
    return bytes(tf.compat.v1.lite.TFLiteConverter(graph, [source], traced.outputs).convert())


def quantize(flat_buffer: bytes, photos: np.ndarray) -> bytes:
    """Turn a float network on pixels into one of 8-bit integers.

    Weights get a scale a channel, activations one a tensor. An operation that
    has no integer kernel stays in float (see `is_integer_only`). These are the
    last two steps of TensorFlow's own integer conversion and give the same
    network; its first would convert the Keras model once more, which takes
    longer than both.

    Parameters
    ----------
    flat_buffer : bytes
        From `convert`: pixels in [0, 255] to values of any range.
    photos : uint8 array, shape (n, height, width, 3)
        They set the range of every activation.

    Returns
    -------
    bytes
        The network with uint8 input, the pixels as they are, and uint8 output.
    """
    examples = photos.copy()
    # Where no photo held the darkest and the brightest value, the input would not be plain pixels.
    examples[0, 0, 0], examples[0, 0, 1] = 0, 255
    calibrator = Calibrator(add_intermediate_tensors(flat_buffer))
    calibrated = calibrator.calibrate(
        lambda: ([example[None].astype(np.float32)] for example in examples)
    )
    return bytes(mlir_quantize(calibrated, input_data_type=tf.uint8, output_data_type=tf.uint8))


def is_integer_only(flat_buffer: bytes) -> bool:
    """Tell whether a network runs without floating point, as some accelerators need it."""
    tensors = make_interpreter(flat_buffer, threads=1).get_tensor_details()
    return not any(np.issubdtype(tensor["dtype"], np.floating) for tensor in tensors)


def make_interpreter(flat_buffer: bytes, threads: int | None = None) -> tf.lite.Interpreter:
    """Load a LiteRT model on so many threads, by default one a core; no tensors yet.

    Raises
    ------
    ValueError
        If it is no LiteRT model.
    """
    with warnings.catch_warnings():
        # It points to a package that is not needed as long as TensorFlow carries this one.
        warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated")
        return tf.lite.Interpreter(
            model_content=flat_buffer, num_threads=threads or len(os.sched_getaffinity(0))
        )


def make_runner(
    flat_buffer: bytes, cores: int | None = None
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load a LiteRT model once for each core (all, by default), to run on one photo at a time.

    So the activations of a layer are still in the core's cache when the next
    layer wants them, and no core waits for another.

    Returns
    -------
    callable
        Takes an array of shape (n, ...), any n, casts it to float32 and
        returns the outputs, in the Keras model's order. A photo's output does
        not depend on the others.
    """
    cores = cores or len(os.sched_getaffinity(0))
    interpreters = [make_interpreter(flat_buffer, threads=1) for _ in range(cores)]
    (source,) = interpreters[0].get_input_details()
    for interpreter in interpreters:
        interpreter.resize_tensor_input(source["index"], [1, *source["shape"][1:]])
        interpreter.allocate_tensors()
    # The converter may list outputs in any order; their names (Identity, Identity_1) keep Keras's.
    targets = sorted(interpreters[0].get_output_details(), key=lambda detail: detail["name"])
    pool = ThreadPoolExecutor(cores)

    def run(values: np.ndarray) -> list[np.ndarray]:
        outputs = [
            np.empty((len(values), *target["shape"][1:]), target["dtype"]) for target in targets
        ]

        def run_share(core: int) -> None:
            interpreter = interpreters[core]
            for row in range(core, len(values), cores):
                interpreter.set_tensor(source["index"], values[row : row + 1].astype(np.float32))
                interpreter.invoke()
                for output, target in zip(outputs, targets, strict=True):
                    output[row] = interpreter.get_tensor(target["index"])[0]

        for done in [pool.submit(run_share, core) for core in range(cores)]:
            done.result()
        return outputs

    return run
