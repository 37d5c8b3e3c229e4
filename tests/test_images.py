"""One loader for every JPEG and PNG: the same photo in any mode is the same pixels."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images_work import encode, gradient
from PIL import Image, ImageOps

from trashnet import images
from trashnet.images import (
    ROWS_AT_ONCE,
    NotAnImageError,
    load_batches,
    load_pixels,
    read_image,
    resize,
)

RED = (204, 51, 51)  # in the standard palette too
ORIENTATION = 0x0112


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_png_keeps_its_colour(mode: str) -> None:
    image = read_image(encode(Image.new("RGB", (4, 3), RED).convert(mode)))

    assert (image.mode, image.getpixel((0, 0))) == ("RGB", RED)


@pytest.mark.parametrize(("mode", "white"), [("L", 255), ("1", 1), ("LA", (255, 255))])
def test_grey_has_three_equal_channels(mode: str, white: Any) -> None:
    image = read_image(encode(Image.new(mode, (4, 3), white)))

    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_another_mode_shows_the_same_picture(mode: str) -> None:
    photo = gradient().convert(mode)

    image = read_image(encode(photo, format="JPEG", quality=100, subsampling=0))

    np.testing.assert_allclose(pixels(image), pixels(photo.convert("RGB")), atol=6)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    levels = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)

    image = read_image(encode(Image.fromarray(levels)))

    assert pixels(image)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparent_level_of_sixteen_bit_grey_becomes_white() -> None:
    levels = Image.fromarray(np.array([[1000, 60000]], dtype=np.uint16))

    image = read_image(encode(levels, transparency=1000))

    assert pixels(image)[0, :, 0].tolist() == [255, 234]


def test_what_is_transparent_becomes_white() -> None:
    image = read_image(encode(Image.new("RGBA", (4, 3), (*RED, 0))))

    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_half_transparent_is_mixed_with_white() -> None:
    image = read_image(encode(Image.new("RGBA", (4, 3), (0, 0, 0, 128))))

    assert image.getpixel((0, 0)) == (127, 127, 127)


def test_tall_photo_is_mixed_with_white_from_top_to_bottom() -> None:
    height = 2 * ROWS_AT_ONCE + 3
    random = np.random.default_rng(0)
    layer = Image.fromarray(random.integers(0, 256, (height, 5, 4), np.uint8))

    image = read_image(encode(layer))

    white = Image.new("RGBA", layer.size, "white")
    at_once = Image.alpha_composite(white, layer).convert("RGB")
    np.testing.assert_array_equal(pixels(image), pixels(at_once))


def test_transparent_palette_entry_becomes_white() -> None:
    photo = Image.new("P", (4, 3), 0)
    photo.putpalette([10, 20, 30])

    image = read_image(encode(photo, transparency=0))

    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation: int) -> None:
    held = gradient()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    image = read_image(encode(held, exif=exif))

    stored = held.copy()
    stored.getexif()[ORIENTATION] = orientation
    np.testing.assert_array_equal(pixels(image), pixels(ImageOps.exif_transpose(stored)))


def test_photo_held_upright_is_as_high_as_it_was_wide() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    image = read_image(encode(gradient(40, 30), format="JPEG", exif=exif))

    assert image.size == (30, 40)


def test_broken_exif_loses_nothing_but_the_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> None:
        raise struct.error("unpack requires a buffer of 2 bytes")

    monkeypatch.setattr(Image.Image, "getexif", fail)

    assert read_image(encode(gradient())).size == (40, 30)


def test_another_broken_tag_does_not_hide_the_rotation() -> None:
    """Pillow cannot write back a unit of 70,000, and its exif_transpose gives up on the photo."""
    turned = struct.pack("<HHII", ORIENTATION, 3, 1, 6)
    broken_unit = struct.pack("<HHII", 0x0128, 4, 1, 70_000)
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 2) + turned + broken_unit + bytes(4)

    image = read_image(encode(gradient(40, 30), format="JPEG", exif=b"Exif\0\0" + tiff))

    assert image.size == (30, 40)


def test_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in (RED, (0, 0, 0))]

    image = read_image(encode(frames[0], save_all=True, append_images=frames[1:]))

    assert image.getpixel((0, 0)) == RED


def test_name_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(encode(gradient()).getvalue())

    np.testing.assert_array_equal(pixels(read_image(path)), pixels(gradient()))


def test_size_is_height_by_width() -> None:
    assert resize(gradient(), [20, 10]).shape == (20, 10, 3)


def test_image_of_the_right_size_is_left_as_it_is() -> None:
    np.testing.assert_array_equal(resize(gradient(40, 30), [30, 40]), pixels(gradient(40, 30)))


def test_shrinking_averages_what_it_merges() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    board = Image.fromarray(checks.astype(np.uint8)).convert("RGB")

    small = resize(board, [8, 8]).astype(int)

    assert np.abs(small - 127.5).max() < 4


def test_whole_photo_is_shown_without_cropping() -> None:
    halves = np.zeros((30, 90, 3), dtype=np.uint8)
    halves[:, 45:] = 255

    small = resize(Image.fromarray(halves), [32, 32])

    assert (small[:, 0].max(), small[:, -1].min()) == (0, 255)


def test_pixels_are_those_of_the_read_photo_resized() -> None:
    photo = gradient()

    loaded = load_pixels(encode(photo), [16, 24])

    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, resize(photo, [16, 24]))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Write seven photos: the number of each is its grey level."""
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        Image.new("L", (40, 30), number).save(path)
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batches_keep_the_order_and_lose_no_photo(photos: list[Path], batch_size: int) -> None:
    batches = list(load_batches(photos, [8, 12], batch_size))

    assert {batch.shape[1:] for batch in batches} == {(8, 12, 3)}
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert np.concatenate(batches)[:, 0, 0, 0].tolist() == list(range(7))


def test_no_photos_make_no_batches() -> None:
    assert list(load_batches([], [8, 12], 4)) == []


def test_broken_photo_raises_when_its_batch_is_due(photos: list[Path]) -> None:
    photos[2].write_bytes(b"broken")
    batches = load_batches(photos, [8, 12], 2)

    next(batches)
    with pytest.raises(NotAnImageError, match=r"2\.png"):
        next(batches)


def test_only_one_batch_is_loaded_ahead(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def record(path: Path, image_size: list[int]) -> np.ndarray:
        loaded.append(path)
        return np.zeros((*image_size, 3), np.uint8)

    monkeypatch.setattr(images, "load_pixels", record)
    batches = load_batches(photos, [8, 12], 2)
    next(batches)
    batches.close()  # type: ignore[attr-defined]

    assert sorted(loaded) == photos[:4]
