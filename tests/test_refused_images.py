"""Files that are refused as photos: foreign, broken, or more than memory should hold."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from images_work import encode, gradient
from PIL import Image

from trashnet import images
from trashnet.errors import PipelineError
from trashnet.images import (
    MAX_PIXELS,
    NoRoomForImageError,
    NotAnImageError,
    UnreadableImageError,
    read_image,
)


@pytest.mark.parametrize(
    "content", [b"", b"Just a note.\n", encode(gradient(), format="GIF").read()]
)
def test_other_content_is_not_an_image_whatever_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)

    with pytest.raises(NotAnImageError, match=r"photo\.jpg is neither a JPEG nor a PNG"):
        read_image(path)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_file_cut_short_is_unreadable(file_format: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encode(Image.fromarray(noise), format=file_format).getvalue()
    path = tmp_path / "photo.jpg"
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(UnreadableImageError, match=r"photo\.jpg cannot be decoded in full"):
        read_image(path)


def test_broken_header_is_told_the_same_way_every_time() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(BytesIO(b"\xff\xd8\xff and no more"))

    assert "0x" not in str(caught.value)


def png_header(width: int, height: int) -> BytesIO:
    """Return the start of a PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return BytesIO(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))))


@pytest.mark.parametrize(("width", "height"), [(8000, MAX_PIXELS // 8000 + 1), (60_000, 60_000)])
def test_bomb_is_refused_before_it_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))

    with pytest.raises(UnreadableImageError, match="more than 70 million pixels"):
        read_image(png_header(width, height))


def test_large_file_that_is_no_photo_is_not_read(tmp_path: Path) -> None:
    """A film among the photos would fill the memory."""
    with (tmp_path / "film.jpg").open("wb") as film:
        film.truncate(2**40)  # takes no room on the disk, and would in memory

    with pytest.raises(NotAnImageError):
        read_image(tmp_path / "film.jpg")


def test_huge_file_that_begins_like_a_photo_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 2_000_000)
    film = tmp_path / "film.jpg"
    with film.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(3 * 10**12)

    with pytest.raises(UnreadableImageError, match="has more than 2 MB; save it anew or leave it"):
        read_image(film)


def test_missing_file_is_not_called_a_broken_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "photo.jpg")


def test_want_of_memory_is_not_called_a_broken_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "convert", Mock(side_effect=MemoryError))

    with pytest.raises(NoRoomForImageError, match="cannot be decoded because memory ran out"):
        read_image(encode(Image.new("L", (4, 3))))


def test_image_errors_are_for_people() -> None:
    assert issubclass(NotAnImageError, PipelineError)
    assert issubclass(UnreadableImageError, PipelineError)
