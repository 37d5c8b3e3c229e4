"""Writing files and folders so that a reader sees all of them or none."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def _name_file(error: OSError, path: Path) -> None:
    """Say what was being written: a full disk's error alone does not."""
    if error.filename is None:
        error.filename = str(path)
