"""Opening a dataset's archive safely, and finding and naming the photos in it."""

import bz2
import errno
import gzip
import hashlib
import lzma
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from trashnet.dataset import hash_content, is_hidden
from trashnet.errors import PipelineError
from trashnet.files import atomic_folder
from trashnet.progress import progress
from trashnet.stage import log

MAX_MEMBERS = 1_000_000
MAX_BYTES = 20_000_000_000
MAX_RATIO = 100
"""Unpacked bytes for each archived byte: about 1 for photos, and 1000 for what fills disks."""
ALWAYS_ALLOWED_BYTES = 10_000_000
"""A small archive may unpack to so much whatever its ratio."""
CHUNK_BYTES = 2**20
MAX_HEADER_BYTES = 2**20
"""tarfile reads the long form of a name in one piece, whatever size it claims."""

UTF8_FLAG = 0x800
"""Says in a zip that a member's name is in UTF-8 (APPNOTE.TXT, 4.4.4, bit 11)."""

SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}

_UNPACKERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""How to open what starts with these bytes."""


def extract(archive: Path, target: Path, source: str) -> None:
    """Unpack the regular files of a zip or tar archive, all of them or none.

    What kind of archive it is (zip, or tar plain or under gzip, bzip2 or xz)
    is told by its content. Sizes are counted while writing, whatever the
    archive says about itself.

    Parameters
    ----------
    archive : Path
        The local file.
    target : Path
        The folder to write; no member lands outside it.
    source : str
        What errors call the archive: the address that the user knows.

    Raises
    ------
    PipelineError
        If it is no archive, is damaged, encrypted or too large, or if a member
        is a link or a device, leads out of `target`, or is there twice.
    """
    limit = _Limit(archive, source)
    written = 0
    with atomic_folder(target) as partial:
        members = progress(_members(archive, limit), f"unpacking {source}", "file")
        for count, (name, stream) in enumerate(members, start=1):
            if count > MAX_MEMBERS:
                raise PipelineError(f"{source} holds more than {MAX_MEMBERS:,} members.")
            if stream is None:
                continue
            with _create(partial, name, source) as file:
                while chunk := _read(stream, name, source):
                    written += len(chunk)
                    limit.check(written)
                    file.write(chunk)


def class_files(root: Path, source: str) -> dict[str, Path]:
    """Find the photos of a dataset that has one folder a class.

    Folders that only wrap the class folders are passed through. Hidden files
    and ``__MACOSX`` are left out, and so is what lies beside the class folders.
    Letters with accents are named as keyboards write them (Unicode's form NFC):
    some file systems and archives take them apart, and what a person types
    would not be found.

    Parameters
    ----------
    root : Path
        The folder to look through.
    source : str
        What errors call it: the address that the user knows.

    Returns
    -------
    dict
        ``<class>/<path>``, POSIX, to the file.

    Raises
    ------
    PipelineError
        If there are no class folders, or fewer than two, or folders of splits
        instead, or others without files beside the only one, or two names that
        look alike.
    """
    folders = class_folders(root, source)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_FOLDERS]
    if len(splits) > 1 and any(map(_holds_folders, splits)):
        raise PipelineError(
            f"{source} is cut into {', '.join(folder.name for folder in splits)}, with the "
            "classes in there; join them to one folder a class, because `split` cuts anew."
        )
    files: dict[str, Path] = {}
    for folder in folders:
        for path in _visible_files(folder):
            place = path.relative_to(folder.parent).as_posix()
            name = unicodedata.normalize("NFC", place)
            if name in files:
                raise PipelineError(
                    f"{source} holds two files called {name!r}, in two ways to write the same "
                    "letters; rename one of them."
                )
            files[name] = path
    for name in files:
        # Neither a line of a hash list nor a CSV file can show these.
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise PipelineError(
                f"{source} holds {name!r}, a name with control characters or not in UTF-8; "
                "rename that file."
            )
    return files


def class_folders(root: Path, source: str) -> list[Path]:
    """Return the folders, sorted, of the first level that has two or more.

    Parameters and errors are those of `class_files`.
    """
    level = root
    while True:
        shown = [path for path in sorted(level.iterdir()) if _is_shown_folder(path)]
        folders = [path for path in shown if any(_visible_files(path))]
        empty = ", ".join(path.name for path in shown if path not in folders)
        if len(folders) > 1:
            if empty:
                log(f"{source} has folders without files, which are no classes: {empty}")
            return folders
        if not folders:
            break
        if empty:
            raise PipelineError(
                f"{source} has files in only one of the folders {folders[0].name}, {empty}; fill "
                "the others, or remove them if they are no classes."
            )
        level = folders[0]
    if level == root:
        raise PipelineError(
            f"{source} has no class folders; it needs one folder of photos for each class."
        )
    raise PipelineError(
        f"{source} has a single class folder, {level.relative_to(root).as_posix()}; "
        "it needs at least two, one for each class."
    )


def content_sha256(files: Mapping[str, Path]) -> str:
    """Hash what a dataset holds, apart from how it was packed.

    Parameters
    ----------
    files : mapping
        As `class_files` returns it.

    Returns
    -------
    str
        As `trashnet.dataset.hash_content` has it.
    """
    hashes = {}
    for name in progress(sorted(files), "hashing", "file"):
        with files[name].open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hash_content(hashes)


def _is_shown_folder(path: Path) -> bool:
    return path.is_dir() and not is_hidden(path.name)


def _holds_folders(folder: Path) -> bool:
    return any(_is_shown_folder(path) and any(_visible_files(path)) for path in folder.iterdir())


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(map(is_hidden, path.relative_to(folder).parts)):
            yield path


class _Limit:
    """How many bytes an archive may unpack to."""

    def __init__(self, archive: Path, source: str) -> None:
        self.source = source
        self._bytes = min(MAX_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))

    def check(self, unpacked_bytes: int) -> None:
        """Raise if that is more than the archive may unpack to."""
        if unpacked_bytes > self._bytes:
            raise PipelineError(
                f"{self.source} unpacks to more than {self._bytes / 1e6:,.0f} MB, over the limit "
                f"of {MAX_RATIO} times its own size or {MAX_BYTES / 1e9:.0f} GB, because it may be "
                "made to fill disks; if you trust it, unpack it and name the folder instead."
            )


class _LimitedTar:
    """What tarfile reads: headers and padding count as well, and no piece is large."""

    def __init__(self, unpacked: IO[bytes], limit: _Limit) -> None:
        self._unpacked, self._limit = unpacked, limit

    def read(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise PipelineError(
                f"{self._limit.source} has a header of {size / 1e6:,.0f} MB; it may be made to "
                "fill the memory."
            )
        content = self._unpacked.read(size)
        self._limit.check(self.tell())
        return content

    def seek(self, position: int) -> int:
        self._limit.check(position)
        return self._unpacked.seek(position)

    def tell(self) -> int:
        return self._unpacked.tell()


def _members(archive: Path, limit: _Limit) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name of each member and the stream of its content, None for a folder."""
    with _damage_named(limit.source):
        # A tar that ends in a zip passes for a zip, but no zip passes for a tar.
        if _is_tar(archive, limit):
            return _tar_members(archive, limit)
        if zipfile.is_zipfile(archive):
            return _zip_members(archive, limit.source)
    raise PipelineError(
        f"{limit.source} is not a whole zip or tar archive; fetch or make it again."
    )


def _zip_members(archive: Path, source: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _damage_named(source), zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if member.flag_bits & 0x1:
                raise PipelineError(f"{source} is encrypted; pack it without a password.")
            # zipfile unpacks bzip2 and LZMA in one piece, which makes gigabytes of a kilobyte.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise PipelineError(
                    f"{source} is a zip with another compression than Deflate; pack it with that, "
                    "the usual one."
                )
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where packed on Windows
            name = _zip_name(member)
            if name.endswith("/"):
                yield name, None
            elif kind in (0, stat.S_IFREG):
                with file.open(member) as stream:
                    yield name, stream
            else:
                raise _not_a_file(name, source)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's path, POSIX."""
    name = member.filename
    if not member.flag_bits & UTF8_FLAG:
        # macOS writes UTF-8 and does not say so; zipfile takes that for the DOS encoding.
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    # Some Windows programs write the separator of their own system.
    return name.replace("\\", "/")


def _tar_members(archive: Path, limit: _Limit) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _damage_named(limit.source), _open_tar(archive, limit) as file:
        for member in file:
            if member.isdir():
                yield member.name, None
            elif member.isfile():
                yield member.name, file.extractfile(member)
            else:
                raise _not_a_file(member.name, limit.source)
        _check_end(file, limit.source)


def _is_tar(archive: Path, limit: _Limit) -> bool:
    try:
        with _open_tar(archive, limit):
            return True
    except (tarfile.TarError, EOFError, OSError, OverflowError, lzma.LZMAError, zlib.error):
        return False


@contextmanager
def _open_tar(archive: Path, limit: _Limit) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as packed:
        start = packed.read(6)
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if start.startswith(magic)), open)
    with (
        unpack(archive, "rb") as unpacked,
        tarfile.open(fileobj=cast(Any, _LimitedTar(unpacked, limit)), mode="r:") as file,
    ):
        yield file


def _check_end(file: tarfile.TarFile, source: str) -> None:
    """Raise unless the archive ends as it should: tarfile takes damage for the end of it."""
    unpacked: Any = file.fileobj
    unpacked.seek(file.offset)
    if unpacked.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise PipelineError(f"{source} is damaged or cut short; fetch or make it again.")
    while unpacked.read(CHUNK_BYTES):
        pass  # gzip compares its checksum at the very end


def _create(folder: Path, name: str, source: str) -> IO[bytes]:
    """Open a new file of the given name for writing, below `folder` and nowhere else."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        raise PipelineError(
            f"{source} holds {name!r}, which leads out of the folder it is unpacked to; "
            "unpack it by hand, if you trust it, and pack it anew."
        )
    path = folder / relative
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise PipelineError(f"{source} holds {name!r} twice; pack it anew.") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise PipelineError(
            f"{source} holds '{name[:60]}...', a name too long for this system; shorten it and "
            "pack it anew."
        ) from None


def _read(stream: IO[bytes], name: str, source: str) -> bytes:
    with _damage_named(f"{source} (member {name})"):
        return stream.read(CHUNK_BYTES)


def _not_a_file(name: str, source: str) -> PipelineError:
    return PipelineError(
        f"{source} holds {name!r}, a link or a device; pack the photos themselves."
    )


@contextmanager
def _damage_named(what: str) -> Iterator[None]:
    """Turn whatever the readers of archives raise into one sentence."""
    try:
        yield
    except (
        EOFError,
        OSError,  # bz2 and gzip
        OverflowError,  # tarfile, of a size below 0
        RuntimeError,
        ValueError,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PipelineError(
            f"{what} cannot be unpacked ({detail}); fetch or make it again."
        ) from None
