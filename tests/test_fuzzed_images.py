"""Thousands of broken photos: each is read or reported, none hangs, crashes or fills the memory."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from trashnet.images import ImageError, UnreadableImageError, load_pixels, read_image

FILES = 2000
MEGABYTES_ALLOWED = 500
SECONDS_ALLOWED = 120

# In a process of its own, whose peak memory is that of the loader, and whose crash is seen.
READ_ALL = """
import json, sys
from pathlib import Path
from trashnet.images import ImageError, load_pixels

counts = {"read": 0, "reported": 0}
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        assert load_pixels(path, [48, 64]).shape == (48, 64, 3)
        counts["read"] += 1
    except ImageError as error:
        assert str(path) in str(error)
        counts["reported"] += 1
status = Path("/proc/self/status").read_text()
counts["peak_megabytes"] = int(status.split("VmHWM:")[1].split()[0]) / 1000
print(json.dumps(counts))
"""


def whole_files() -> list[bytes]:
    """Return photos of every kind that cameras and programs write."""
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((120, 90))
    deep = Image.fromarray(random.integers(0, 65536, (90, 120), dtype=np.uint16))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    variants: list[tuple[Image.Image, dict[str, Any]]] = [
        (colours, {"format": "JPEG"}),
        (colours, {"format": "JPEG", "progressive": True, "exif": rotated}),
        (colours.convert("L"), {"format": "JPEG"}),
        (colours.convert("CMYK"), {"format": "JPEG"}),
        (colours, {"format": "PNG"}),
        (colours.convert("RGBA"), {"format": "PNG"}),
        (colours.convert("P"), {"format": "PNG", "transparency": 3}),
        (colours.convert("1"), {"format": "PNG"}),
        (deep, {"format": "PNG"}),
        (colours, {"format": "PNG", "save_all": True, "append_images": [colours.rotate(90)]}),
    ]
    files = []
    for image, options in variants:
        file = BytesIO()
        image.save(file, **options)
        files.append(file.getvalue())
    return files


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Flip, cut, repeat or overwrite some bytes, most often near the headers."""
    broken = bytearray(content)
    for _ in range(random.integers(1, 6)):
        near = random.random() < 0.6
        at = int(random.integers(min(len(broken), 80) if near else len(broken)))
        match random.integers(5):
            case 0:
                broken[at] ^= 1 << int(random.integers(8))
            case 1:
                broken[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                del broken[at : at + int(random.integers(1, 40))]
            case 3:
                broken[at:at] = broken[at : at + int(random.integers(1, 200))]
            case 4:
                broken[at : at + 4] = random.bytes(4)
        if len(broken) < 2:
            break
    return bytes(broken)


@pytest.mark.slow
def test_two_thousand_mutated_photos_are_each_read_or_reported(tmp_path: Path) -> None:
    random = np.random.default_rng(20)
    whole = whole_files()
    for number in range(FILES):
        content = mutated(whole[number % len(whole)], random)
        (tmp_path / f"{number:04}.jpg").write_bytes(content)

    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_ALLOWED,
    )

    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["read"] + counts["reported"] == FILES
    assert min(counts["read"], counts["reported"]) > FILES / 10  # the mutations are neither
    assert counts["peak_megabytes"] < MEGABYTES_ALLOWED


def test_files_that_the_mutations_start_from_are_whole() -> None:
    for content in whole_files():
        assert read_image(BytesIO(content)).size in ((120, 90), (90, 120))


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000), (1, 3000)])
def test_odd_shapes_are_stretched_like_any_other(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "odd.png")

    pixels = load_pixels(tmp_path / "odd.png", [48, 64])

    assert pixels.shape == (48, 64, 3)
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize("field", ["width", "height"])
def test_header_that_claims_gigapixels_is_refused_before_memory_is_taken(
    field: str, tmp_path: Path
) -> None:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    claims = bytearray(file.getvalue())
    at = 16 if field == "width" else 20
    claims[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(claims)

    with pytest.raises(ImageError, match=r"bomb\.png"):
        read_image(tmp_path / "bomb.png")


def test_text_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("comment", "a" * 70_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=notes)
    assert (tmp_path / "bomb.png").stat().st_size < 100_000

    with pytest.raises(UnreadableImageError, match=r"bomb\.png"):
        read_image(tmp_path / "bomb.png")


def test_jpeg_of_endless_scans_is_refused_before_it_takes_hours(tmp_path: Path) -> None:
    """Half a megabyte of empty scans over 64 million pixels took 40 s, and 20 MB take hours."""
    file = BytesIO()
    Image.new("L", (64, 64)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    (tmp_path / "slow.jpg").write_bytes(content[:-2] + 1000 * scan + content[-2:])

    with pytest.raises(UnreadableImageError, match=r"slow\.jpg is a JPEG of more than 200 scans"):
        read_image(tmp_path / "slow.jpg")
