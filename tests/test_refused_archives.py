"""Archives that are refused: nothing leaves the folder, and nothing fills disk or memory."""

import contextlib
import copy
import gzip
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archive_work import PHOTOS, tarred, zipped
from hypothesis import given
from hypothesis import strategies as st

from trashnet import archives
from trashnet.archives import extract
from trashnet.errors import PipelineError


def refusal(archive: Path) -> str:
    """Return why an archive is refused, having checked that it left nothing behind."""
    target = archive.parent / "unpacked"
    before = set(archive.parent.rglob("*"))
    with pytest.raises(PipelineError) as caught:
        extract(archive, target, "gs://bucket/set")
    assert set(archive.parent.rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/tmp/evil", "..", "a/.."])  # noqa: S108
def test_member_that_leads_out_is_refused(
    name: str, pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path
) -> None:
    archive = pack(tmp_path / "it", {"set/glass/1.jpg": b"one", name: b"evil"})

    assert "gs://bucket/set holds" in (message := refusal(archive))
    assert "leads out of the folder" in message


def test_backslashes_lead_out_no_more_than_slashes(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "it.zip", {r"..\evil": b"evil"})

    assert "leads out of the folder" in refusal(archive)


@given(name=st.text(st.sampled_from("ab./\\~ ä"), min_size=1, max_size=12))
def test_no_name_lands_outside(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("place")
    archive = tarred(place / "it", {name: b"content"})

    with contextlib.suppress(PipelineError):
        extract(archive, place / "unpacked", "it")

    assert {path.name for path in place.iterdir()} <= {"it", "unpacked"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "it.tar", "w") as file:
        member = tarfile.TarInfo("set/glass/1.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)

    assert "'set/glass/1.jpg', a link or a device" in refusal(tmp_path / "it.tar")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_with_a_header_of_a_size_below_zero_is_refused(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("set/glass/1.jpg")
    header.type, header.size = kind, -(2**70)
    archive = tmp_path / "it.tar"
    archive.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    assert "is not a whole zip or tar archive" in refusal(archive)


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as file:
        member = zipfile.ZipInfo("set/glass/1.jpg")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc/passwd")

    assert "'set/glass/1.jpg', a link or a device" in refusal(tmp_path / "it.zip")


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "it.zip", {"set/glass/1.jpg": b"one"})
    packed = bytearray(archive.read_bytes())
    packed[6] |= 1  # the flag in the member's own header
    packed[packed.index(b"PK\1\2") + 8] |= 1  # and in the directory
    archive.write_bytes(packed)

    assert refusal(archive) == "gs://bucket/set is encrypted; pack it without a password."


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_one_name_twice_is_refused(
    pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path
) -> None:
    archive = pack(tmp_path / "it", {"set/1.jpg": b"one", "set/./1.jpg": b"two"})

    assert "'set/./1.jpg' twice" in refusal(archive)


def test_file_that_is_a_folder_as_well_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "it", {"set/glass": b"one", "set/glass/1.jpg": b"two"})

    assert "'set/glass/1.jpg' twice" in refusal(archive)


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:xz"])
def test_archive_that_fills_disks_is_refused(mode: str, tmp_path: Path) -> None:
    members = {f"set/glass/{number}.jpg": bytes(10**6) for number in range(12)}
    path = tmp_path / "it"
    archive = zipped(path, members) if mode == "zip" else tarred(path, members, mode)

    assert "unpacks to more than 10 MB" in refusal(archive)


@pytest.mark.parametrize("name", [f"set/glass/{'x' * 300}.jpg", f"set/{'d/' * 3000}1.jpg"])
def test_name_too_long_for_the_system_is_refused(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "it", {name: b"one"})

    assert "a name too long for this system" in refusal(archive)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_that_fills_the_memory_is_refused(packing: int, tmp_path: Path) -> None:
    """zipfile unpacks all that it reads of these at once: a kilobyte became four gigabytes."""
    with zipfile.ZipFile(tmp_path / "it", "w", packing) as file:
        file.writestr("set/glass/1.jpg", bytes(20_000_000))

    assert "another compression than Deflate" in refusal(tmp_path / "it")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_that_fills_the_memory_is_refused(kind: bytes, tmp_path: Path) -> None:
    member = tarfile.TarInfo("set/glass/1.jpg")
    member.type, member.size = kind, 200_000_000
    with gzip.open(tmp_path / "it", "wb") as file:
        file.write(member.tobuf())
        file.write(bytes(member.size))

    assert "has a header of 200 MB" in refusal(tmp_path / "it")


@pytest.mark.parametrize("place", ["in a folder", "after the end"])
def test_bytes_of_no_file_count_as_well(place: str, tmp_path: Path) -> None:
    """What tarfile passes over has to be unpacked too, which can take for ever."""
    folder = tarfile.TarInfo("set")
    folder.type, folder.size = tarfile.DIRTYPE, 11_000_000 if place == "in a folder" else 0
    with gzip.open(tmp_path / "it", "wb") as file:
        file.write(folder.tobuf())
        file.write(bytes(11_000_000))

    assert "unpacks to more than 10 MB" in refusal(tmp_path / "it")


def test_photos_over_the_limit_of_their_size_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 2_000_000)
    archive = tarred(tmp_path / "it", {"set/glass/1.jpg": os.urandom(2_000_001)})

    assert "unpacks to more than 2 MB" in refusal(archive)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_too_many_members_are_refused(
    pack: Callable[[Path, Mapping[str, bytes]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    archive = pack(tmp_path / "it", PHOTOS)

    assert "more than 2 members" in refusal(archive)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\3\4 and no more"])
def test_other_files_are_not_archives(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.zip").write_bytes(content)

    assert "gs://bucket/set is not a whole zip or tar archive" in refusal(tmp_path / "it.zip")


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_archive_cut_short_is_refused(mode: str, share: float, tmp_path: Path) -> None:
    members = {f"set/glass/{number}.jpg": os.urandom(2000) for number in range(30)}
    path = tmp_path / "it"
    archive = zipped(path, members) if mode == "zip" else tarred(path, members, mode)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: max(1, int(share * len(whole)))])

    assert refusal(archive).startswith("gs://bucket/set")


def test_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "it", {"set/1.jpg": b"one", "set/2.jpg": b"two"})
    archive.write_bytes(archive.read_bytes()[: 2 * tarfile.BLOCKSIZE])

    assert "damaged or cut short" in refusal(archive)


def test_tar_with_a_broken_header_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "it", {"set/1.jpg": b"one", "set/2.jpg": b"two"})
    packed = bytearray(archive.read_bytes())
    packed[2 * tarfile.BLOCKSIZE + 5] ^= 0xFF
    archive.write_bytes(packed)

    assert "damaged or cut short" in refusal(archive)


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:bz2", "w:xz"])
def test_archive_with_a_flipped_byte_is_refused(mode: str, tmp_path: Path) -> None:
    members = {"set/glass/1.jpg": os.urandom(5000)}
    path = tmp_path / "it"
    archive = zipped(path, members) if mode == "zip" else tarred(path, members, mode)
    packed = bytearray(archive.read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    archive.write_bytes(packed)

    assert refusal(archive).startswith("gs://bucket/set")


def test_members_that_share_their_bytes_are_counted_as_often_as_they_unpack(
    tmp_path: Path,
) -> None:
    """A zip whose directory names one compressed member many times fills disks as well."""
    archive = zipped(tmp_path / "it", {"set/glass/00.jpg": bytes(2_000_000)})
    with zipfile.ZipFile(archive, "a") as file:
        kernel = file.infolist()[0]
        for number in range(1, 40):
            member = copy.copy(kernel)
            member.filename = f"set/glass/{number:02}.jpg"
            file.filelist.append(member)
        file._didModify = True  # type: ignore[attr-defined]

    assert "fill disks" in refusal(archive) or "cannot be unpacked" in refusal(archive)
