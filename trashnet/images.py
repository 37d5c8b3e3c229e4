"""The one way from an image file to pixels: training, evaluation, the app and the command line."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from trashnet.errors import PipelineError

MAX_PIXELS = 70_000_000
"""Largest width x height that is decoded: a small file can unpack to more than the memory holds."""
MAX_FILE_BYTES = 600_000_000
"""Largest file that is read: so much has an uncompressed PNG of `MAX_PIXELS` at 16 bits a channel,
while a file of any size may begin like a JPEG."""
CHUNK_BYTES = 2**20
ROWS_AT_ONCE = 256
"""Of a transparent photo: whole layers of 70 million pixels would take more than a gigabyte."""
MAX_SCANS = 200
"""Most passes over a progressive JPEG; programs write about ten. One of 70 million pixels takes
0.04 s for each, and a pass of 14 bytes is valid: a megabyte would take an hour."""

Source = TypeVar("Source")
Loaded = TypeVar("Loaded")

_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
# Pillow would warn of a size that `read_image` itself refuses before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
"""How a scan of one to four components begins (ITU-T T.81, B.2.3)."""


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation (CIPA DC-008, tag 274); 1 is upright."""


class ImageError(PipelineError):
    """A file that cannot be used as a photo."""


class NotAnImageError(ImageError):
    """A file that is neither JPEG nor PNG, whatever its name says."""


class UnreadableImageError(ImageError):
    """A JPEG or PNG that is broken, cut short or too large."""


class NoRoomForImageError(ImageError):
    """There was no memory to decode a photo, which says nothing of the photo itself."""


def read_image(source: Path | BinaryIO) -> Image.Image:
    """Decode a photo in full, upright and in RGB.

    Grey, palette, CMYK and 16-bit images are converted, transparency is laid
    on white, EXIF rotation is applied, and of an animated PNG the first frame
    is taken.

    Parameters
    ----------
    source : Path or binary file
        A JPEG or PNG file, told by its content and not by its name.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Raises
    ------
    NotAnImageError
        If the content is neither JPEG nor PNG.
    UnreadableImageError
        If it cannot be decoded in full, or has more than `MAX_PIXELS` pixels,
        `MAX_SCANS` scans or `MAX_FILE_BYTES`.
    NoRoomForImageError
        If memory runs out.
    OSError
        If the file itself cannot be opened or read.
    """
    name = str(source) if isinstance(source, Path) else "The file"
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        start = file.read(max(map(len, _FIRST_BYTES)))
        if not start.startswith(_FIRST_BYTES):
            raise NotAnImageError(
                f"{name} is neither a JPEG nor a PNG image; convert it to one of them or leave it "
                "out."
            )
        content = start + _read_rest(file, name)
    if len(_SCAN.findall(content)) > MAX_SCANS:
        raise UnreadableImageError(
            f"{name} is a JPEG of more than {MAX_SCANS} scans; save it anew or leave it out."
        )
    try:
        image = Image.open(BytesIO(content), formats=["JPEG", "PNG"])
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableImageError(
                f"{name} has more than {MAX_PIXELS // 10**6} million pixels; scale it down."
            )
        image.load()
        return _to_rgb(_upright(image))
    except UnreadableImageError:
        raise
    except MemoryError:
        raise NoRoomForImageError(
            f"{name} cannot be decoded because memory ran out; free some and try again."
        ) from None
    except UnidentifiedImageError:
        fault = "its header is broken"
    except Exception as error:  # Pillow passes on whatever its parsers meet in broken bytes
        fault = str(error)
    raise UnreadableImageError(
        f"{name} cannot be decoded in full ({fault}); fetch it again or leave it out."
    )


def resize(image: Image.Image, image_size: Sequence[int]) -> np.ndarray:
    """Stretch an image to the size that a network sees, with antialiasing and without cropping.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB.
    image_size : sequence of int
        Height and width in pixels.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8.
    """
    height, width = image_size
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def load_pixels(source: Path | BinaryIO, image_size: Sequence[int]) -> np.ndarray:
    """Read a photo and stretch it to `image_size`: see `read_image` and `resize`.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8.
    """
    return resize(read_image(source), image_size)


def load_batches(
    sources: Sequence[Path | BinaryIO], image_size: Sequence[int], batch_size: int
) -> Iterator[np.ndarray]:
    """Load photos in order, decoding the next batch while the caller works on one.

    Parameters
    ----------
    sources : sequence of Path or binary file
        The photos.
    image_size : sequence of int
        Height and width in pixels.
    batch_size : int
        Photos a batch; the last batch holds what is left.

    Yields
    ------
    ndarray
        Shape (photos, height, width, 3), uint8.

    Raises
    ------
    ImageError
        If a photo cannot be used, when its batch is due.
    """
    load = partial(load_pixels, image_size=image_size)
    for batch in map_ahead(load, sources, batch_size):
        yield np.stack(batch)


def map_ahead(
    load: Callable[[Source], Loaded], sources: Sequence[Source], batch_size: int
) -> Iterator[list[Loaded]]:
    """Yield batches of what `load` makes of each source, in order, one batch ahead of the caller.

    An exception of `load` is raised when its batch is due.
    """
    # Threads are enough: Pillow decodes and resizes without holding the interpreter's lock.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        in_work: deque[Iterator[Loaded]] = deque()
        for start in range(0, len(sources), batch_size):
            in_work.append(pool.map(load, sources[start : start + batch_size]))
            if len(in_work) > 1:
                yield list(in_work.popleft())
        if in_work:
            yield list(in_work.popleft())


def _read_rest(file: BinaryIO, name: str) -> bytes:
    # In chunks: a single read takes room for all that it may return, and a pipe tells no size.
    chunks: list[bytes] = []
    while chunk := file.read(CHUNK_BYTES):
        chunks.append(chunk)
        if len(chunks) * CHUNK_BYTES > MAX_FILE_BYTES:
            raise UnreadableImageError(
                f"{name} has more than {MAX_FILE_BYTES // 10**6} MB; save it anew or leave it out."
            )
    return b"".join(chunks)


def _upright(image: Image.Image) -> Image.Image:
    # Pillow's exif_transpose writes all other tags anew and fails where one of them is broken.
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF data hides how the camera was held, but the photo is there
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey to RGB clips at 255.
        grey = np.asarray(image) >> 8
        grey[np.asarray(image) == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    on_white = Image.new("RGB", image.size)
    for top in range(0, image.height, ROWS_AT_ONCE):
        strip = (0, top, image.width, min(top + ROWS_AT_ONCE, image.height))
        layer = image.crop(strip).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        on_white.paste(Image.alpha_composite(white, layer).convert("RGB"), strip)
    return on_white
