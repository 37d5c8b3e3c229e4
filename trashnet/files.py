"""Writing files and folders so that a reader sees all of them or none."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trashnet.errors import PipelineError

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Names the time since the machine started: nothing here forces what it writes to the disk, so
what stood in a half-filled folder before a power failure may not stand there after it."""

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can name, for every member: equal content then gives equal files."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success.

    Parameters
    ----------
    path : str or Path
        The file to write; missing parent folders are made.

    Yields
    ------
    Path
        Where to write. It ends in the suffix of `path`, because some writers
        choose their format by it, and is removed if the block raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        _name_file(error, path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path` that replaces it on success.

    Parameters
    ----------
    path : str or Path
        The folder to write. What stood there before is gone afterwards, and
        so is what a killed run left half written.

    Yields
    ------
    Path
        The folder to fill; removed if the block raises.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    except OSError as error:
        _name_file(error, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class Unfinished:
    """A folder that is filled shard by shard, and the list of the shards that are whole.

    Parameters
    ----------
    folder : Path
        Emptied, unless a killed run of the same identity left it behind.
    identity : str
        Of everything that the shards depend on.

    Attributes
    ----------
    folder : Path
        Where to write.
    done : set of str
        The names of the shards that are whole.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self._list = folder / ".finished"
        header = hashlib.sha256(f"{identity} {BOOT.read_text()}".encode()).hexdigest()
        lines = self._list.read_text().splitlines() if self._list.exists() else []
        self.done = set(lines[1:])
        if lines[:1] != [header]:
            self.done = set()
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_text(self._list, f"{header}\n")

    def add(self, shard: str) -> None:
        """Note that a shard is whole."""
        self.done.add(shard)
        with self._list.open("a") as file:
            file.write(f"{shard}\n")

    def remove_list(self) -> None:
        """Leave nothing in the folder but what was written there."""
        self._list.unlink()


@contextmanager
def resumable_folder(path: str | Path, identity: str) -> Iterator[Unfinished]:
    """Yield a temporary folder beside `path` that replaces it on success and outlives a failure.

    Parameters
    ----------
    path : str or Path
        The folder to write. What stood there before is gone afterwards.
    identity : str
        Of everything that the content depends on: what a run of another
        identity left half filled is removed.
    """
    path = Path(path)
    with scratch_folder(path, identity) as unfinished:
        yield unfinished
        unfinished.remove_list()
        shutil.rmtree(path, ignore_errors=True)
        unfinished.folder.rename(path)


@contextmanager
def scratch_folder(path: str | Path, identity: str) -> Iterator[Unfinished]:
    """Yield a folder beside `path` that is removed on success and outlives a failure.

    Parameters are those of `resumable_folder`; `path` itself is not touched.
    """
    path = Path(path)
    unfinished = Unfinished(path.with_name(f".partial-{path.name}"), identity)
    try:
        yield unfinished
    except OSError as error:
        _name_file(error, path)
        raise
    shutil.rmtree(unfinished.folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, all of it or nothing."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, all of it or nothing.

    Raises
    ------
    ValueError
        If a number is not finite: JSON knows no NaN.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object that a stage wrote.

    Raises
    ------
    PipelineError
        If the file is missing or holds anything else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `dvc repro`.") from None
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from None
    except ValueError as error:
        raise PipelineError(f"{path} is not valid JSON ({error}); run `dvc repro`.") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path} holds no JSON object; run `dvc repro`.")
    return content


def _name_file(error: OSError, path: Path) -> None:
    """Say what was being written: a full disk's error alone does not."""
    if error.filename is None:
        error.filename = str(path)
