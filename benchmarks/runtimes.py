"""Compare the runtime that each frozen trunk runs on with others that a CPU offers.

ONNX Runtime and OpenVINO are no dependencies of this project. In a scratch
environment with the packages of requirements.lock:

    pip install tf2onnx onnxruntime openvino
    python -m benchmarks.runtimes

All run float32 on batches of 32 photos with all cores, in turns in one process,
and the best of five rounds counts: the project's choice, plain tf.function,
ONNX Runtime, and OpenVINO with a stream a core. `share` is the project's choice
against the best of the others. A runtime that cannot convert a trunk shows a
dash. Random weights are used, since they take as long as others.
"""

import argparse
import os
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks.random_weights import build_random_backbone
from trashnet.backbones import BACKBONES
from trashnet.networks import compile_inference, cut_network

BATCH_SIZE = 32
ROUNDS = 5
TRAINABLE_LAYERS = 20
OPSET = 17
TOLERANCE = 1e-3
"""Largest difference from tf.function, as a share of the largest activation."""

Run = Callable[[], np.ndarray]


def main() -> None:
    """Print photos a second of every runtime, a line a backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(BACKBONES))
    parser.add_argument("--image-size", type=int, nargs=2, default=(192, 256))
    arguments = parser.parse_args()
    print(f"{cores()} cores, {arguments.image_size}, photos a second")
    for name in arguments.models:
        speeds = compare(name, tuple(arguments.image_size))
        own = speeds.pop("this project")
        columns = "   ".join(f"{runtime} {speed:6.1f}" for runtime, speed in speeds.items())
        print(
            f"{name:17} this project {own:6.1f}   {columns}   "
            f"share {own / max(speeds.values()):.2f}",
            flush=True,
        )


def compare(name: str, image_size: tuple[int, int]) -> dict[str, float]:
    """Time the runtimes that can run a trunk; return photos a second."""
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, *image_size, 3), np.uint8)
    backbone = build_random_backbone(name, image_size)
    trunk = cut_network(name, backbone, TRAINABLE_LAYERS).trunk
    project = compile_inference(name, trunk)
    runs: dict[str, Run] = {"this project": lambda: project(pixels)[0]}
    for runtime, load in {
        "tf.function": load_tf_function,
        "ONNX Runtime": load_onnx_runtime,
        "OpenVINO": load_openvino,
    }.items():
        try:
            runs[runtime] = load(trunk, pixels)
        except Exception as error:
            print(f"{name} on {runtime}: {type(error).__name__}: {' '.join(str(error).split())}")
    check(name, runs)
    shortest = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for runtime, run in runs.items():
            started = time.perf_counter()
            run()
            shortest[runtime] = min(shortest[runtime], time.perf_counter() - started)
    return {runtime: BATCH_SIZE / seconds for runtime, seconds in shortest.items()}


def load_tf_function(trunk: keras.Model, pixels: np.ndarray) -> Run:
    """Return plain tf.function on the whole batch."""
    forward = tf.function(lambda batch: trunk(batch, training=False), jit_compile=False)
    return lambda: np.asarray(forward(tf.cast(pixels, tf.float32)))


def load_onnx_runtime(trunk: keras.Model, pixels: np.ndarray) -> Run:
    """Return ONNX Runtime on the whole batch, with a thread a core."""
    import onnxruntime  # noqa: PLC0415 - each of them may be missing
    import tf2onnx  # noqa: PLC0415

    forward = tf.function(lambda batch: trunk(batch, training=False), jit_compile=False)
    signature = [tf.TensorSpec((None, *pixels.shape[1:]), tf.float32, name="pixels")]
    model, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: np.asarray(session.run(None, {"pixels": pixels.astype(np.float32)})[0])


def load_openvino(trunk: keras.Model, pixels: np.ndarray) -> Run:
    """Return OpenVINO with a stream a core, a photo a request."""
    import openvino  # noqa: PLC0415

    forward = tf.function(lambda batch: trunk(batch, training=False), jit_compile=False)
    concrete = forward.get_concrete_function(tf.TensorSpec((1, *pixels.shape[1:]), tf.float32))
    compiled = openvino.Core().compile_model(
        openvino.convert_model(concrete),
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(cores()),
            "INFERENCE_NUM_THREADS": str(cores()),
            "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bfloat16
        },
    )
    outputs = np.empty((len(pixels), *compiled.output(0).shape[1:]), np.float32)
    queue = openvino.AsyncInferQueue(compiled, cores())

    def keep(request: object, row: int) -> None:
        outputs[row] = request.get_output_tensor(0).data[0]  # type: ignore[attr-defined]

    queue.set_callback(keep)

    def run() -> np.ndarray:
        for row in range(len(pixels)):
            queue.start_async({0: pixels[row : row + 1].astype(np.float32)}, row)
        queue.wait_all()
        return outputs

    return run


def check(name: str, runs: dict[str, Run]) -> None:
    """Say which runtimes do not compute what tf.function does; also each one's first run."""
    expected = runs["tf.function"]()
    for runtime, run in runs.items():
        difference = float(np.abs(run() - expected).max() / np.abs(expected).max())
        if difference > TOLERANCE:
            print(f"{name} on {runtime}: differs by {difference:.1e} of the largest activation")


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
