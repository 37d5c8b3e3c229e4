"""Compare LiteRT with tf.function on the frozen trunks of the depthwise backbones.

Run from the repository's root, on a machine with nothing else to do:

    python -m benchmarks.trunk_speed

Each line gives images per second of both, their ratio, and the largest
difference between their outputs as a share of the largest activation. Random
weights are used, since they take as long as others.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.random_weights import build_random_backbone
from trashnet.backbones import BACKBONES
from trashnet.litert import convert, make_runner
from trashnet.networks import cut_network, settle_random_weights

BATCH_SIZE = 32
ROUNDS = 5
TRAINABLE_LAYERS = 20


def main() -> None:
    """Print one line a backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="default: those that run on LiteRT")
    parser.add_argument("--image-size", type=int, nargs=2, default=(224, 224))
    arguments = parser.parse_args()
    depthwise = [name for name, backbone in BACKBONES.items() if backbone.runtime == "litert"]
    print(f"{len(os.sched_getaffinity(0))} cores, {arguments.image_size}, batches of {BATCH_SIZE}")
    for name in arguments.models or depthwise:
        compare(name, tuple(arguments.image_size))


def compare(name: str, image_size: tuple[int, int]) -> None:
    """Time both runtimes on the same batches, in turns, and compare what they say."""
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, *image_size, 3), np.uint8)
    backbone = build_random_backbone(name, image_size)
    settle_random_weights(name, backbone, pixels)
    trunk = cut_network(name, backbone, TRAINABLE_LAYERS).trunk

    forward = tf.function(lambda batch: trunk(batch, training=False), jit_compile=False)
    litert = make_runner(convert(trunk))
    runtimes: dict[str, Callable[[], np.ndarray]] = {
        "tensorflow": lambda: forward(tf.cast(pixels, tf.float32)).numpy(),
        "litert": lambda: litert(pixels)[0],
    }
    outputs = {runtime: run() for runtime, run in runtimes.items()}
    seconds = dict.fromkeys(runtimes, 0.0)
    for _ in range(ROUNDS):
        for runtime, run in runtimes.items():
            started = time.perf_counter()
            run()
            seconds[runtime] += time.perf_counter() - started

    speed = {runtime: ROUNDS * BATCH_SIZE / seconds[runtime] for runtime in runtimes}
    difference = np.abs(outputs["litert"] - outputs["tensorflow"]).max()
    print(
        f"{name:18} tf.function {speed['tensorflow']:7.1f} images/s   "
        f"LiteRT {speed['litert']:7.1f} images/s   "
        f"ratio {speed['litert'] / speed['tensorflow']:.2f}   "
        f"difference {difference / np.abs(outputs['tensorflow']).max():.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
