"""What tests of archives pack: a dataset's files, by path, as a zip, a tar or a folder."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

PHOTOS = {"set/glass/1.jpg": b"one", "set/glass/old/2.jpg": b"two", "set/paper/ä 3.jpg": b"three"}


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def laid_out(folder: Path, members: Mapping[str, bytes]) -> Path:
    for name, content in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
