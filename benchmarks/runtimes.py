"""Compare the runtime that the frozen networks run on with others that a CPU offers.

Run from the repository's root, on a machine with nothing else to do. ONNX
Runtime and OpenVINO are no dependencies of this project; where they are missing
they are left out:

    pip install tf2onnx onnxruntime openvino        # in a scratch environment
    python -m benchmarks.runtimes

All run the same network, trunk and frozen tail, in float32 on all cores, fed as
`features` feeds it: photos of 512 x 384 pixels are decoded and resized while the
network works on those before. Each is set up as its own documentation advises
for many inputs: ONNX Runtime on whole batches by default and, too, as a session
a core; OpenVINO with a stream a core and the throughput hint. They take turns in
one process and the shortest round of each counts: images (photos and views) a
second. `share` is this project's way against the best of the others; `difference`
the largest between its outputs and tf.function's, as a share of the largest
activation, and a runtime with a larger one than 0.001 shows as wrong. Random
weights are used, since they take as long as others.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import run_benchmark
from benchmarks.growth import CLASSES, draw_photo
from benchmarks.random_weights import build_random_backbone
from stages.features import IMAGES_PER_RUN, with_pooled_output
from trashnet.backbones import BACKBONES
from trashnet.images import load_batches
from trashnet.networks import Runner, compile_inference, cut_network, settle_random_weights

VIEWS = 4
PHOTOS_A_RUN = IMAGES_PER_RUN // (1 + VIEWS)
TRAINABLE_LAYERS = 20
OPSET = 17
TOLERANCE = 1e-3
"""Largest difference from tf.function, as a share of the largest activation."""


def main() -> None:
    """Print images a second of every runtime, a line a backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(BACKBONES))
    parser.add_argument("--image-size", type=int, nargs=2, default=(192, 256))
    parser.add_argument("--photos", type=int, default=24, help="a round")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    image_size = tuple(arguments.image_size)
    print(f"{cores()} cores, {image_size}, images a second")
    with tempfile.TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder), arguments.photos)
        for name in arguments.models:
            compare(name, photos, image_size, arguments.rounds)


def draw_photos(folder: Path, count: int) -> list[Path]:
    """Draw photos as large as TrashNet's."""
    for name in CLASSES:
        (folder / name).mkdir()
    for number in range(count):
        draw_photo(folder, number)
    return sorted(folder.rglob("*.jpg"))


def compare(name: str, photos: list[Path], image_size: tuple[int, int], rounds: int) -> None:
    """Time the runtimes that can run a network, and print a line."""
    views = draw_views(image_size)
    pixels = next(runs_of_images(photos, views))
    backbone = build_random_backbone(name, image_size)
    settle_random_weights(name, backbone, pixels)
    model = with_pooled_output(cut_network(name, backbone, TRAINABLE_LAYERS))
    runtimes: dict[str, Runner] = {"this project": compile_inference(model)}
    for runtime, load in {
        "tf.function": load_tf_function,
        "ONNX Runtime": load_onnx_runtime,
        "ONNX Runtime a core": load_onnx_runtime_a_core,
        "OpenVINO": load_openvino,
    }.items():
        try:
            runtimes[runtime] = load(model)
        except Exception as error:
            print(f"{name} on {runtime}: {type(error).__name__}: {' '.join(str(error).split())}")
    differences = {
        runtime: difference(run(pixels), runtimes["tf.function"](pixels))
        for runtime, run in runtimes.items()
    }
    shortest = dict.fromkeys(runtimes, float("inf"))
    for _ in range(rounds):
        for runtime, run in runtimes.items():
            started = time.perf_counter()
            for images in runs_of_images(photos, views):
                run(images)
            shortest[runtime] = min(shortest[runtime], time.perf_counter() - started)
    speeds = {runtime: len(photos) * (1 + VIEWS) / seconds for runtime, seconds in shortest.items()}
    columns = "   ".join(
        f"{runtime} {speed:.1f}{'' if differences[runtime] < TOLERANCE else ' (wrong)'}"
        for runtime, speed in speeds.items()
    )
    own = speeds.pop("this project")
    right = [speed for runtime, speed in speeds.items() if differences[runtime] < TOLERANCE]
    print(
        f"{name:17} {columns}   share {own / max(right):.2f}   "
        f"difference {differences['this project']:.1e}",
        flush=True,
    )


def draw_views(image_size: tuple[int, int]) -> np.ndarray:
    """Draw the views of one run's photos: uint8, shape (views, height, width, 3)."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (PHOTOS_A_RUN * VIEWS, *image_size, 3), np.uint8)


def runs_of_images(photos: list[Path], views: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what one run takes: decoded photos, and views as if read from a file."""
    for plain in load_batches(photos, views.shape[1:3], PHOTOS_A_RUN):
        yield np.concatenate([plain, views[: len(plain) * VIEWS]])


def load_tf_function(model: keras.Model) -> Runner:
    """Return plain tf.function on the whole batch."""
    forward = tf.function(
        lambda batch: model(batch, training=False),
        jit_compile=False,
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)],
    )

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        return [output.numpy() for output in forward(tf.cast(pixels, tf.float32))]

    return run


def load_onnx_runtime(model: keras.Model) -> Runner:
    """Return ONNX Runtime on the whole batch, with a thread a core."""
    session = onnx_session(to_onnx(model), threads=cores())
    return lambda pixels: list(session.run(None, {"pixels": pixels.astype(np.float32)}))


def load_onnx_runtime_a_core(model: keras.Model) -> Runner:
    """Return a session of ONNX Runtime for each core, an image at a time."""
    onnx = to_onnx(model)
    sessions = [onnx_session(onnx, threads=1) for _ in range(cores())]
    pool = ThreadPoolExecutor(cores())

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        outputs: list[list[np.ndarray]] = [[]] * len(pixels)

        def run_share(core: int) -> None:
            for row in range(core, len(pixels), cores()):
                image = pixels[row : row + 1].astype(np.float32)
                outputs[row] = sessions[core].run(None, {"pixels": image})

        list(pool.map(run_share, range(cores())))
        return [np.concatenate(of_images) for of_images in zip(*outputs, strict=True)]

    return run


@cache
def to_onnx(model: keras.Model) -> bytes:
    """Convert a network by tf2onnx, as it stands in ONNX Runtime's documentation."""
    import tf2onnx  # noqa: PLC0415 - it may be missing

    forward = tf.function(lambda batch: model(batch, training=False), jit_compile=False)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="pixels")]
    converted, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
    return bytes(converted.SerializeToString())


def onnx_session(onnx: bytes, threads: int) -> Any:
    """Load a network into ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - it may be missing

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def load_openvino(model: keras.Model) -> Runner:
    """Return OpenVINO with a stream a core, an image a request, pixels cast by itself."""
    import openvino  # noqa: PLC0415 - it may be missing
    from openvino.preprocess import PrePostProcessor  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        steps = PrePostProcessor(openvino.convert_model(folder, input=[1, *model.input_shape[1:]]))
        steps.input().tensor().set_element_type(openvino.Type.u8)
        compiled = openvino.Core().compile_model(
            steps.build(),
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": str(cores()),
                "INFERENCE_NUM_THREADS": str(cores()),
                "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bfloat16
            },
        )
    queue = openvino.AsyncInferQueue(compiled, cores())

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        outputs = [
            np.empty((len(pixels), *output.shape[1:]), np.float32) for output in compiled.outputs
        ]

        def keep(request: object, row: int) -> None:
            for number, output in enumerate(outputs):
                output[row] = request.get_output_tensor(number).data[0]  # type: ignore[attr-defined]

        queue.set_callback(keep)
        for row in range(len(pixels)):
            queue.start_async({0: pixels[row : row + 1]}, row)
        queue.wait_all()
        return outputs

    return run


def difference(outputs: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest difference as a share of the largest activation, infinite between shapes.

    Outputs come in any order: activations have four dimensions, pooled ones two.
    """
    pairs = list(zip(*(sorted(each, key=np.ndim) for each in (outputs, expected)), strict=True))
    if any(one.shape != other.shape for one, other in pairs):
        return float("inf")
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    run_benchmark(main)
