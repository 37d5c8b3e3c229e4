"""Archives that are read, whatever packed them: every file comes out as it went in."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archive_work import PHOTOS, tarred, zipped

from trashnet.archives import class_files, extract


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "pack",
    [
        zipped,
        tarred,
        lambda path, members: tarred(path, members, "w:gz"),
        lambda path, members: tarred(path, members, "w:bz2"),
        lambda path, members: tarred(path, members, "w:xz"),
    ],
    ids=["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"],
)
def test_every_kind_of_archive_is_told_by_its_content(
    pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path
) -> None:
    archive = pack(tmp_path / "no-suffix", PHOTOS)

    extract(archive, tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked") == PHOTOS


def test_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"wrong": b"wrong"}).read_bytes()
    archive = tarred(tmp_path / "it", {"set/inner.zip": inner})

    extract(archive, tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked") == {"set/inner.zip": inner}


def test_backslashes_of_windows_are_folders(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "it.zip", {"set\\glass\\": b"", r"set\glass\1.jpg": b"one"})

    extract(archive, tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked") == {"set/glass/1.jpg": b"one"}


def test_zip64_is_read(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "it", "w") as file,
        file.open("set/glass/1.jpg", "w", force_zip64=True) as member,
    ):
        member.write(b"one")

    extract(tmp_path / "it", tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked") == {"set/glass/1.jpg": b"one"}


def test_names_in_the_encoding_of_old_windows_lose_no_file(tmp_path: Path) -> None:
    """Zip programs without UTF-8 write code page 437 or that of their country; both are read."""
    archive = zipped(tmp_path / "it", {"set/glass/gr-n.jpg": b"one", "set/paper/1.jpg": b"two"})
    archive.write_bytes(archive.read_bytes().replace(b"gr-n", "grün".encode("cp437")))

    extract(archive, tmp_path / "unpacked", "it")

    assert sorted(contents(tmp_path / "unpacked").values()) == [b"one", b"two"]


def test_names_that_macos_wrote_in_utf_8_and_did_not_say_so_are_read(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "it", {"set/M--ll/1.jpg": b"one", "set/paper/1.jpg": b"two"})
    archive.write_bytes(archive.read_bytes().replace(b"M--ll", "Müll".encode()))

    extract(archive, tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked").keys() == {"set/Müll/1.jpg", "set/paper/1.jpg"}


def test_archive_in_an_archive_stays_packed(tmp_path: Path) -> None:
    """So nested bombs, such as 42.zip, never go off: their inner archives are no photos."""
    bomb = zipped(tmp_path / "bomb", {"zeros": bytes(5_000_000)}).read_bytes()
    archive = zipped(tmp_path / "it", {"set/glass/1.zip": bomb, "set/paper/1.jpg": b"two"})

    extract(archive, tmp_path / "unpacked", "it")

    assert contents(tmp_path / "unpacked") == {"set/glass/1.zip": bomb, "set/paper/1.jpg": b"two"}


@pytest.mark.slow
def test_a_hundred_thousand_empty_files_are_no_harm(tmp_path: Path) -> None:
    names = [f"set/{'glass' if number % 2 else 'paper'}/{number}.jpg" for number in range(100_000)]
    archive = zipped(tmp_path / "it", dict.fromkeys(names, b""))

    extract(archive, tmp_path / "unpacked", "it")

    assert len(class_files(tmp_path / "unpacked", "it")) == 100_000
