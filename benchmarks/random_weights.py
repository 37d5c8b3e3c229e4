"""Backbones without a file of weights; for the benchmarks, since random ones take as long."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras

from trashnet.networks import build_backbone
from trashnet.weights import write_random_weights_note


def build_random_backbone(name: str, image_size: Sequence[int]) -> keras.Model:
    """Build a backbone with the random weights of `pretrained: none`."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.weights.h5"
        write_random_weights_note(weights)
        return build_backbone(name, image_size, weights)
