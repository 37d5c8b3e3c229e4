"""Photos for the tests of the prepare stage, and what it made of them."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image

from stages import prepare
from trashnet.dataset import IMAGES, read_manifest

PutFile = Callable[[str, bytes], None]


def jpeg(number: int, quality: int = 95) -> bytes:
    """Draw a photo: another number is another picture, another quality a near-duplicate."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).resize((64, 48)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def manifest() -> pd.DataFrame:
    """Run the stage and return the manifest it wrote, by path."""
    prepare.main()
    return read_manifest().set_index("path")


def images() -> list[str]:
    return sorted(p.relative_to(IMAGES).as_posix() for p in IMAGES.rglob("*") if p.is_file())
