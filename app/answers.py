"""What the app says of a photo, apart from how it is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from trashnet.images import read_image, resize
from trashnet.metrics import SURE, apply_temperature, is_sure

SHOWN_SIZE = (640, 640)
"""Largest width and height in pixels of a photo on the page; phones send twelve megapixels."""


@dataclass(frozen=True)
class PhotoAnswer:
    """One photo's answer.

    Attributes
    ----------
    photo : PIL.Image.Image
        Scaled down to `SHOWN_SIZE`.
    pixels : uint8 array, shape (height, width, 3)
        What the model saw.
    probabilities : float32 array, shape (classes,)
        As the model gives them and predictions-test.csv has them.
    confidence : float array, shape (classes,)
        The same, calibrated.
    """

    photo: Image.Image
    pixels: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray


def ask(
    predict: Callable[[np.ndarray], np.ndarray],
    image_size: tuple[int, int],
    temperature: float,
    content: bytes,
) -> PhotoAnswer:
    """Read a photo as `evaluate` does and ask the model.

    Raises
    ------
    ImageError
        If the bytes are not a usable JPEG or PNG.
    """
    image = read_image(BytesIO(content))
    pixels = resize(image, image_size)
    probabilities = predict(pixels[None])
    image.thumbnail(SHOWN_SIZE)
    confidence = apply_temperature(probabilities, temperature)[0]
    return PhotoAnswer(image, pixels, probabilities[0], confidence)


def in_words(confidence: np.ndarray, class_names: list[str], threshold: float) -> str:
    """Say the answer, or that there is none below the threshold."""
    order = np.argsort(-confidence, kind="stable")
    first, second = (class_names[number] for number in order[:2])
    highest, next_highest = (float(confidence[number]) for number in order[:2])
    if is_sure(highest, threshold):
        return f"This is {first} ({percent(highest)} sure)."
    return (
        f"Not sure. Perhaps {first} ({percent(highest)}), perhaps {second} "
        f"({percent(next_highest)})."
    )


def rule_in_words(threshold: float) -> str:
    """Say when the app is not sure; `trashnet.metrics.choose_threshold` made the rule."""
    if threshold == 1:
        return (
            f"No photo is answered: of the validation photos, by which this rule was "
            f"chosen, {SURE:.0%} were right at no confidence."
        )
    return (
        f"Below {min(threshold, 0.999):.1%} the answer is “not sure”: of the validation photos, by "
        f"which this rule was chosen, at least {SURE:.0%} of the answers from there on were right."
    )


def percent(share: float) -> str:
    """Write a share as a whole percentage that never claims certainty."""
    if share > 0.99:
        return "over 99%"
    if share < 0.01:
        return "under 1%"
    return f"{share:.0%}"
