"""Running a frozen Keras model through LiteRT's XNNPACK kernels."""

import logging
import os
import warnings
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def convert(model: keras.Model) -> bytes:
    """Convert a Keras model to a LiteRT flat buffer in float32.

    Its variables are frozen into the traced function first: the converter's
    own way through a SavedModel gives the same network three times as slowly,
    which is why its advice to take that way is not shown.
    """
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    forward = tf.function(lambda inputs: model(inputs, training=False), jit_compile=False)
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function(signature))
    logging.getLogger("absl").setLevel(logging.ERROR)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    return bytes(converter.convert())


def make_runner(flat_buffer: bytes) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load a LiteRT model on all cores.

    Returns
    -------
    callable
        Takes an array of shape (n, ...), any n, casts it to float32 and
        returns copies of the outputs, in the Keras model's order.
    """
    with warnings.catch_warnings():
        # It points to a package that is not needed as long as TensorFlow carries this one.
        warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(
            model_content=flat_buffer, num_threads=len(os.sched_getaffinity(0))
        )
    (input_detail,) = interpreter.get_input_details()
    # The converter may list outputs in any order; their names (Identity, Identity_1) keep Keras's.
    outputs = sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
    shape: list[int] = []

    def run(values: np.ndarray) -> list[np.ndarray]:
        nonlocal shape
        if list(values.shape) != shape:
            shape = list(values.shape)
            interpreter.resize_tensor_input(input_detail["index"], shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(input_detail["index"], values.astype(np.float32))
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in outputs]

    return run
