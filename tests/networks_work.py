"""Backbones with random weights."""

from pathlib import Path

import keras
import numpy as np

from trashnet.networks import build_backbone, settle_random_weights

IMAGE_SIZE = (64, 64)


def settled_backbone(name: str, random_weights: Path, pixels: np.ndarray) -> keras.Model:
    """Return a backbone whose batch norm is set to the photos at hand."""
    backbone = build_backbone(name, IMAGE_SIZE, random_weights)
    settle_random_weights(name, backbone, pixels)
    return backbone
