"""Pictures for the tests of images, and the files they make."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def encode(image: Image.Image, **options: Any) -> BytesIO:
    file = BytesIO()
    image.save(file, **({"format": "PNG"} | options))
    file.seek(0)
    return file


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """Return a picture in which every pixel is different, smooth enough for JPEG."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))
