"""Where in a photo a classifier saw what it says."""

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from trashnet.classifier import Classifier, member_models

HOT = (226, 84, 20)
STRONGEST = 190
"""How far, of 255, the hottest place is coloured: the photo has to be seen below."""


def heat_map(classifier: Classifier, pixels: np.ndarray, class_number: int) -> np.ndarray:
    """Return how much each place speaks for a class: Grad-CAM (Selvaraju et al. 2017, ICCV).

    Parameters
    ----------
    classifier : Classifier
        From `trashnet.classifier.load_classifier`.
    pixels : uint8 array, shape (height, width, 3)
        The photo as the model takes it.
    class_number : int
        The class's place in `classifier.class_names`.

    Returns
    -------
    float32 array, shape (h, w)
        In [0, 1], as coarse as the last feature map; all 0 where nothing
        speaks for the class. Of an ensemble, the mean of its members' maps,
        as fine as the finest of them. A model that also looks at the photo's
        mirror images is asked about the photo alone.
    """
    maps = [_heat_map(model, pixels, class_number) for model in member_models(classifier.model)]
    height, width = np.max([heat.shape for heat in maps], axis=0)
    mean: np.ndarray = np.mean([_resized(heat, width, height) for heat in maps], axis=0)
    return mean


def _resized(heat: np.ndarray, width: int, height: int) -> np.ndarray:
    # Networks round odd sizes differently, so members' maps may differ by a row or a column.
    return np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))


def _heat_map(model: keras.Model, pixels: np.ndarray, class_number: int) -> np.ndarray:
    trunk, tail, head = (model.get_layer(name) for name in ("trunk", "tail", "head"))
    feature_map = tail(trunk(tf.cast(pixels[None], tf.float32), training=False), training=False)
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        pooled = keras.ops.mean(feature_map, axis=(1, 2))
        logit = head(pooled, training=False)[0, class_number]
    weights = keras.ops.mean(tape.gradient(logit, feature_map), axis=(1, 2), keepdims=True)
    relevance = np.maximum(keras.ops.convert_to_numpy(keras.ops.sum(weights * feature_map, -1)), 0)
    highest = relevance.max()
    scaled: np.ndarray = relevance[0] / (highest or 1)
    return scaled


def lay_over(photo: Image.Image, heat: np.ndarray) -> Image.Image:
    """Turn a photo grey and colour it where the heat is high.

    Grey, because a colour on the like colour of a can would not be seen.

    Parameters
    ----------
    photo : PIL.Image.Image
        Mode RGB, any size.
    heat : float array, shape (h, w)
        In [0, 1].
    """
    grey = photo.convert("L").convert("RGB")
    coarse = Image.fromarray((heat * STRONGEST).astype(np.uint8))
    mask = coarse.resize(photo.size, Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", photo.size, HOT), grey, mask)
