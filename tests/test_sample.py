"""The built-in sample: the same bytes everywhere, every fault planted."""

import hashlib
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from trashnet.images import ImageError, read_image
from trashnet.sample import PHOTOS, write_sample_archive

CONTENT_SHA256 = "32835a71d0cb886be1dab1c53fdf605864411b431921e7569058d92c5e672bb5"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.zip"
    write_sample_archive(path)
    return path


@pytest.fixture(scope="module")
def files(archive: Path) -> dict[str, bytes]:
    """The content of each member, by ``<class>/<file>``."""
    with zipfile.ZipFile(archive) as members:
        return {
            name.removeprefix("dataset-resized/"): members.read(name) for name in members.namelist()
        }


def decodes(content: bytes) -> bool:
    try:
        read_image(BytesIO(content))
    except ImageError:
        return False
    return True


def test_the_bytes_are_those_that_the_committed_metrics_came_from(
    files: dict[str, bytes],
) -> None:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == CONTENT_SHA256


def test_every_class_has_forty_readable_photos_or_more(files: dict[str, bytes]) -> None:
    readable = Counter(name.split("/")[0] for name, content in files.items() if decodes(content))
    assert readable.keys() == PHOTOS.keys()
    assert min(readable.values()) >= 40


def test_good_photos_have_the_size_of_trashnets(files: dict[str, bytes]) -> None:
    for name in PHOTOS:
        assert Image.open(BytesIO(files[f"{name}/{name}1.jpg"])).size == (512, 384)


def test_two_files_cannot_be_read(files: dict[str, bytes]) -> None:
    broken = {name for name, content in files.items() if not decodes(content)}
    assert broken == {"cardboard/cardboard901.jpg", "trash/trash901.jpg"}


def test_one_photo_stands_in_two_classes_and_one_twice_in_its_own(
    files: dict[str, bytes],
) -> None:
    assert files["glass/glass901.jpg"] == files["plastic/plastic901.jpg"]
    assert files["paper/paper901.jpg"] == files["paper/paper1.jpg"]
    copies = Counter(files.values())
    assert sum(count - 1 for count in copies.values()) == 2
