"""Time the two ways in which a saved model answers: the app's and that of `evaluate`.

Run from the repository's root, with nothing else to do:

    python -m benchmarks.answer_speed MobileNet MobileNetV2

The app runs the model in Keras, and so does the command line for a few photos;
for many of them, and in `evaluate`, it runs by LiteRT (on a GPU by tf.function,
whatever the line is called). Each line gives the seconds from the loaded model to
its first answer, the milliseconds of a photo that comes alone, and the photos a
second of batches as large as those of `evaluate`, both of the fastest of a few
rounds. Weights are random, since they take as long as others.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from benchmarks import run_benchmark
from benchmarks.random_weights import build_random_backbone
from stages.evaluate import BATCH_SIZE
from trashnet.backbones import BACKBONES
from trashnet.classifier import Classifier, assemble, build_head
from trashnet.networks import compile_inference, cut_network, settle_random_weights

Predictor = Callable[[np.ndarray], object]

CLASSES = ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
TRAINABLE_LAYERS = 20
ROUNDS = 5


def main() -> None:
    """Print a line for each backbone and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(BACKBONES))
    parser.add_argument("--image-size", type=int, nargs=2, default=(192, 256))
    arguments = parser.parse_args()
    image_size = tuple(arguments.image_size)
    photos = np.random.default_rng(1).integers(0, 256, (BATCH_SIZE, *image_size, 3), np.uint8)
    print(f"{len(os.sched_getaffinity(0))} cores, {image_size}, batches of {BATCH_SIZE}")
    for model in arguments.models:
        compare(model, photos)


def compare(model: str, photos: np.ndarray) -> None:
    """Print what a model's two ways of answering take."""
    classifier = build_classifier(model, photos)
    ways: dict[str, Callable[[], Predictor]] = {
        "Keras": classifier.predictor,
        "LiteRT": lambda: compile_inference(classifier.model),
    }
    for way, begin in ways.items():
        started = time.perf_counter()
        predict = begin()
        predict(photos[:1])
        first_answer = time.perf_counter() - started
        alone = 1000 * shortest_seconds(predict, photos[:1])
        together = len(photos) / shortest_seconds(predict, photos)
        print(
            f"{model:17} {way:7} first answer {first_answer:5.1f} s   alone {alone:6.1f} ms   "
            f"{together:6.1f} photos a second",
            flush=True,
        )


def shortest_seconds(predict: Predictor, photos: np.ndarray) -> float:
    """Return the seconds of the fastest of a few rounds, after one more."""
    predict(photos)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        predict(photos)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def build_classifier(model: str, photos: np.ndarray) -> Classifier:
    """Build a model as training saves it, in four looks and with random weights."""
    backbone = build_random_backbone(model, photos.shape[1:3])
    settle_random_weights(model, backbone, photos)
    network = cut_network(model, backbone, TRAINABLE_LAYERS)
    channels = network.tail.output.shape[-1]
    head = build_head(np.zeros(channels), np.ones(channels), [], 0.2, len(CLASSES))
    return Classifier(assemble(network, head, mirror=True), CLASSES)


if __name__ == "__main__":
    run_benchmark(main)
