"""Small networks for the tests of model files."""

from pathlib import Path

import keras
import numpy as np

from trashnet.classifier import build_head
from trashnet.networks import build_backbone, cut_network, settle_random_weights
from trashnet.weights import write_random_weights_note

IMAGE_SIZE = (48, 64)
CLASSES = ["glass", "paper, and card", "Ünrat"]


def draw_pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, *IMAGE_SIZE, 3), np.uint8)


def tiny_model() -> keras.Model:
    """Return a softmax over two classes of the mean colour of 4 x 4 pixels."""
    source = keras.Input((4, 4, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(source)
    return keras.Model(source, keras.layers.Softmax()(keras.layers.Dense(2)(pooled)))


def build_parts(folder: Path, pixels: np.ndarray) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Return trunk, tail and head of a small network, whose weights a note in `folder` asks for."""
    weights = folder / "random.weights.h5"
    write_random_weights_note(weights)
    backbone = build_backbone("MobileNetV3Small", IMAGE_SIZE, weights)
    settle_random_weights("MobileNetV3Small", backbone, pixels)
    trunk, tail = cut_network("MobileNetV3Small", backbone, 20)
    examples = np.random.default_rng(0).normal(2, 0.2, (50, tail.output_shape[-1]))
    moments = examples.mean(axis=0), examples.var(axis=0)
    return trunk, tail, build_head(*moments, [16], 0.2, len(CLASSES))
