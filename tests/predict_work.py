"""A model of colours and photos for it, for the tests of ``python -m trashnet predict``."""

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from trashnet.classifier import Classifier, save_classifier

IMAGE_SIZE = (12, 16)
CLASSES = ["blue, or cyan", "green", "red"]


def color_classifier() -> Classifier:
    """Return a model that says which colour a photo mostly has."""
    pixels = keras.Input((*IMAGE_SIZE, 3))
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 50)(pixels))
    logits = keras.layers.Dense(3, use_bias=False)(means)
    model = keras.Model(pixels, keras.layers.Softmax()(logits))
    model.layers[-2].set_weights([np.eye(3)[::-1]])
    return Classifier(model, CLASSES)


def write_model_and_photos() -> None:
    """Write a comparison of two models, one of them, and photos of three colours."""
    save_classifier(color_classifier(), Path("models/MobileNetV2.keras"))
    Path("reports").mkdir()
    comparison = '{"models": {"MobileNetV2": {}, "MobileNet": {}}}'
    Path("reports/comparison.json").write_text(comparison)
    Path("photos/more").mkdir(parents=True)
    for name, color in {"b.jpg": "red", "a.PNG": "blue", "more/c.jpeg": "lime"}.items():
        image = Image.new("RGB", (40, 30), color)
        image.save(Path("photos", name), "PNG" if name.endswith("PNG") else "JPEG")
