"""Photos cut into shards, and what is done to each: here, or on a Ray cluster if there is one."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trashnet.files import Unfinished
from trashnet.progress import progress_bar

CLUSTER = "TRASHNET_RAY"
"""The environment variable with a cluster's address: ``auto`` or ``ray://host:10001``."""
PHOTOS_URL = "TRASHNET_RAY_PHOTOS"
"""The one with a URL under which the cluster's machines find the photos themselves."""

PACKAGES = ["keras", "numpy", "pillow", "tensorflow"]


class Shard(NamedTuple):
    """Some photos that are worked on together.

    Attributes
    ----------
    name : str
        Unlike those of the other shards.
    start : int
        How many photos stand in the shards before it.
    photos : DataFrame
        With a column ``path``, ``<class>/<file>``.
    """

    name: str
    start: int
    photos: pd.DataFrame


class Work(NamedTuple):
    """What is done to each shard, wherever that is.

    Attributes
    ----------
    function : callable
        A module's function of two values: `tools`, and what was read of a
        shard. It touches no file of this machine, and its result depends on
        nothing else.
    tools : object
        Settings, or a network ready to run.
    load : callable, optional
        A module's function that makes the tools of what stands in `tools`;
        each process of a cluster calls it once.
    """

    function: Callable[[Any, Any], Any]
    tools: Any = None
    load: Callable[[Any], Any] | None = None


class PhotosElsewhere(NamedTuple):
    """Photos that a machine of the cluster reads for itself, and what it must find."""

    url: str
    paths: list[str]
    sha256: list[str]


CarriedPhotos = list[Path] | list[bytes] | PhotosElsewhere
"""Photos on the way to where they are worked on."""


def cluster_address() -> str | None:
    """Return where the cluster is that shards are to run on, or None for this machine alone."""
    return os.environ.get(CLUSTER) or None


def cut_shards(photos: pd.DataFrame, photos_a_shard: int) -> list[Shard]:
    """Cut photos into shards in order, all of one size but the last."""
    starts = range(0, len(photos), photos_a_shard)
    return [
        Shard(f"{number:05}", start, photos[start : start + photos_a_shard])
        for number, start in enumerate(starts)
    ]


def for_each_shard(
    shards: Sequence[Shard],
    read: Callable[[Shard], Any],
    work: Work,
    write: Callable[[Shard, Any], None],
    unfinished: Unfinished,
    description: str,
    executor: Executor | None = None,
) -> None:
    """Read, work on and write every shard that is not there yet, with one progress bar.

    Reading and writing happen on this machine. So does the work, unless the
    environment names a cluster; where it is done changes no byte of the
    result, and neither does the order in which shards get ready.

    Parameters
    ----------
    shards : sequence of Shard
        All of them.
    read : callable
        Returns what `work` needs of a shard.
    work : Work
        What is done to it.
    write : callable
        Gets a shard and what `work` made of it.
    unfinished : Unfinished
        Where `write` writes; it knows which shards are there.
    description : str
        For the progress bar.
    executor : Executor, optional
        Whose threads or processes do all three steps where there is no
        cluster; by default this thread does.

    Raises
    ------
    PipelineError
        If a shard cannot be worked on. Those that were finished stay.
    """
    missing = [shard for shard in shards if shard.name not in unfinished.done]
    photos = sum(len(shard.photos) for shard in shards)
    with progress_bar(photos, description, "photo") as bar:
        bar.update(photos - sum(len(shard.photos) for shard in missing))
        bar.unpause()  # the time left is that of what is left

        def note(shard: Shard) -> None:
            unfinished.add(shard.name)
            bar.update(len(shard.photos))

        if address := cluster_address():
            # Imported here: without a cluster nothing of Ray may be needed.
            from trashnet.cluster import run_tasks  # noqa: PLC0415

            def write_and_note(shard: Shard, result: Any) -> None:
                write(shard, result)
                note(shard)

            run_tasks(address, missing, name_photos, read, work, write_and_note)
            return
        here = partial(_work_here, read, work, write)
        for shard in _as_finished(executor, here, missing) if executor else map(here, missing):
            note(shard)


def carry_photos(
    folder: Path, paths: Sequence[str], sha256: Sequence[str] | None = None
) -> CarriedPhotos:
    """Return photos as they reach the work: files here, their bytes or their URL on a cluster.

    Parameters
    ----------
    folder : Path
        Where they stand on this machine.
    paths : sequence of str
        Relative to it, and to the URL.
    sha256 : sequence of str, optional
        Of the photo at each path, which must be found at the URL. Where it is
        not known, the files here are read for it.
    """
    files = [folder / path for path in paths]
    if cluster_address() is None:
        return files
    url = os.environ.get(PHOTOS_URL)
    if not url:
        return [file.read_bytes() for file in files]
    if sha256 is None:
        sha256 = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return PhotosElsewhere(url, list(paths), list(sha256))


def open_photos(photos: CarriedPhotos) -> Sequence[Path | BytesIO]:
    """Return what `trashnet.images` reads photos from.

    Raises
    ------
    PipelineError
        If a photo cannot be read where it is said to be, or is another there.
    """
    if isinstance(photos, PhotosElsewhere):
        from trashnet.cluster import fetch_photos  # noqa: PLC0415

        photos = fetch_photos(photos)
    return [photo if isinstance(photo, Path) else BytesIO(photo) for photo in photos]


def name_photos(shard: Shard) -> str:
    """Name a shard's photos for an error message."""
    paths = shard.photos["path"]
    return f"the photos {paths.iloc[0]} to {paths.iloc[-1]}" if len(paths) > 1 else paths.iloc[0]


def identify(stage_file: str, *parts: object) -> str:
    """Hash all that a stage's shards depend on: its inputs, the code and the packages.

    Parameters
    ----------
    stage_file : str
        The stage's ``__file__``.
    *parts : object
        Parameters, by their repr; paths of files that fit into memory, by their content.
    """
    digest = hashlib.sha256()
    code = sorted(Path(__file__).parent.glob("*.py"))
    for part in (*map(version, PACKAGES), Path(stage_file), *code, *parts):
        content = part.read_bytes() if isinstance(part, Path) else repr(part).encode()
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()


def describe_files(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Tell files too large to be hashed apart by their size and the time of their last change."""
    found = [(file, file.stat()) for file in files]
    return [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in found]


def _as_finished(
    executor: Executor, function: Callable[[Shard], Shard], shards: Sequence[Shard]
) -> Iterator[Shard]:
    """Yield what `function` returns, the quickest first: a kill then loses no finished shard.

    Where it fails, those that it was at are still finished, and no other begun.
    """
    futures = [executor.submit(function, shard) for shard in shards]
    failure: BaseException | None = None
    try:
        for future in as_completed(futures):
            if future.cancelled():
                continue
            if error := future.exception():
                failure = failure or error
                _cancel(futures)
            else:
                yield future.result()
    finally:
        _cancel(futures)
    if failure:
        raise failure


def _cancel(futures: Sequence[Future[Shard]]) -> None:
    for future in futures:
        future.cancel()


def _work_here(
    read: Callable[[Shard], Any],
    work: Work,
    write: Callable[[Shard, Any], None],
    shard: Shard,
) -> Shard:
    write(shard, work.function(work.tools, read(shard)))
    return shard
