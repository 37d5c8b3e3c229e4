"""Fetching files and folders from wherever fsspec reaches: gs://, s3://, https://, a path."""

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

import aiohttp
import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.files import atomic_file, atomic_folder
from trashnet.progress import progress, progress_bar

CHUNK_BYTES = 4 * 2**20
PATIENCE_SECONDS = 30.0
"""How long passing faults are borne without one new byte. gcsfs alone takes about 33 s to say
that a host cannot be reached: it makes six tries with growing pauses of its own."""
FIRST_PAUSE_SECONDS = 1.0
PARALLEL_FILES = 8
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a system says where it takes no more: the disk, a quota, a file's size, nothing at all."""

MACHINE = Path("/sys/class/dmi/id/product_name")
"""Who made this machine, as Linux has it from the firmware: Google's machines say so."""

SERVICE_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/email"
"""What the metadata server of Google's machines knows only where one has a service account."""
METADATA_SECONDS = 3.0
"""How long that server, which stands beside the machine, may take to answer."""

HTTP_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=15)

# fsspec imports gcsfs at the first gs:// URL, and gcsfs reads this then. Left on, it asks each
# bucket over gRPC what kind it is, which emulators and firewalls let run into a timeout of 60 s.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
# Faults come back to the caller as one sentence; gcsfs would print a stack trace as well.
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)

Result = TypeVar("Result")


class FetchError(PipelineError):
    """An address that holds nothing, or cannot be reached or read."""


def is_folder(url: str, parameter: str | None = None) -> bool:
    """Tell a folder or bucket prefix from a file.

    Parameters
    ----------
    url : str
        Any fsspec URL or local path. What stands behind http(s):// counts as
        a file.
    parameter : str, optional
        The key in params.yaml that `url` came from, for the error's advice;
        left out where the caller has other addresses to try.

    Raises
    ------
    FetchError
        If nothing is there, or it cannot be reached or read.
    """
    store, path = _open_store(url, parameter)
    # Anyone may list a public bucket, but only its owners may ask about the bucket itself.
    if "gs" in store.protocol and "/" not in path.rstrip("/"):
        return True
    entry = _retry(lambda: store.info(path), url, parameter)
    return bool(entry["type"] == "directory")


def list_files(url: str, parameter: str | None = None) -> list[str]:
    """Return the sorted names of the files that lie directly in a folder.

    Parameters
    ----------
    url : str
        A folder or bucket prefix; over http(s):// a page that links to its
        files.
    parameter : str, optional
        See `is_folder`.

    Raises
    ------
    FetchError
        If nothing is there, or it cannot be reached or read.
    """
    store, path = _open_store(url, parameter)
    entries = _retry(lambda: store.ls(path, detail=True), url, parameter)
    paths = [entry["name"] for entry in entries if entry["type"] != "directory"]
    if "https" in store.protocol:
        paths = [unquote(path) for path in paths]
    return sorted(PurePosixPath(path).name for path in paths)


def fetch_file(url: str, target: Path, parameter: str | None = None) -> None:
    """Copy one file to `target`, whole or not at all.

    A broken transfer goes on where it stopped, or begins again where the
    store cannot do that or holds something else by now.

    Parameters
    ----------
    url : str
        Any fsspec URL or local path of a file.
    target : Path
        The local file to write; replaced only once every byte is there.
    parameter : str, optional
        See `is_folder`.

    Raises
    ------
    FetchError
        If nothing is there, it cannot be reached or read, the package for
        its protocol is not installed, or the number of bytes received is not
        what the store says.
    """
    store, path = _open_store(url, parameter)
    size = _retry(lambda: store.info(path), url, parameter)["size"]
    with atomic_file(target) as partial, progress_bar(size, f"fetching {url}", "B") as bar:
        bar.unit_scale = True
        _transfer(store, path, partial, url, parameter, lambda done: bar.update(done - bar.n))


def fetch_folder(url: str, target: Path, parameter: str | None = None) -> None:
    """Copy every file below a folder or bucket prefix, all of them or none.

    Parameters
    ----------
    url : str
        Any fsspec URL or local path of a folder.
    target : Path
        The local folder to write; replaced only once every file is whole.
    parameter : str, optional
        See `is_folder`.

    Raises
    ------
    FetchError
        As `fetch_file`, or if the folder holds no files, or a name in it
        would land outside `target`.
    """
    store, path = _open_store(url, parameter)
    found = _retry(lambda: _find(store, path), url, parameter)
    # Some tools put an empty object in a bucket to stand for a folder.
    places = {name: _relative_name(name, path) for name in found if not name.endswith("/")}
    if not places:
        raise _failure(url, "it holds no files", parameter)
    for place in places.values():
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise _failure(url, f"the name {place!r} leads out of the folder", parameter)

    with atomic_folder(target) as partial, ThreadPoolExecutor(PARALLEL_FILES) as pool:

        def fetch_one(name: str) -> None:
            destination = partial / places[name]
            destination.parent.mkdir(parents=True, exist_ok=True)
            _transfer(store, name, destination, f"{url} (file {places[name]})", parameter)

        for _ in progress(pool.map(fetch_one, places), f"fetching {url}", "file", len(places)):
            pass


def read_files(url: str, names: Sequence[str], parameter: str | None = None) -> list[bytes]:
    """Read some files below a folder or bucket prefix into memory.

    Parameters
    ----------
    url : str
        Any fsspec URL or local path of a folder.
    names : sequence of str
        Relative to it.
    parameter : str, optional
        See `is_folder`.

    Raises
    ------
    FetchError
        If one of them is not there, or cannot be reached or read.
    """
    store, folder = _open_store(url, parameter)

    def read_one(name: str) -> bytes:
        path = f"{folder.rstrip('/')}/{name}"
        content = _retry(lambda: store.cat_file(path), f"{url} (file {name})", parameter)
        return bytes(content)

    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        return list(pool.map(read_one, names))


def _transfer(
    store: AbstractFileSystem,
    path: str,
    target: Path,
    url: str,
    parameter: str | None,
    on_position: Callable[[int], Any] = lambda position: None,
) -> None:
    """Write one object to `target`, in chunks, and hold its size against the store's.

    `on_position` is called with the number of bytes that `target` holds.
    """
    version: dict[str, Any] = {}

    with target.open("wb") as file:

        def read_on() -> None:
            nonlocal version
            if file.tell():
                store.invalidate_cache()  # a later try: somebody may have replaced the object
            entry = store.info(path)
            if entry["type"] == "directory":
                raise IsADirectoryError(path)
            if _version(entry) != version:
                version = _version(entry)
                file.seek(0)
            with store.open(path, "rb", cache_type="none") as source:
                _seek(source, file)
                while chunk := source.read(CHUNK_BYTES):
                    file.write(chunk)
                    on_position(file.tell())
            # Where HTTP gives no size, aiohttp finds the end of the data or raises.
            if entry["size"] not in (None, file.tell()):
                raise ConnectionError(f"{file.tell()} bytes came of {entry['size']}")

        _retry(read_on, url, parameter, file.tell)
        file.truncate()


def _seek(source: BinaryIO, file: BinaryIO) -> None:
    """Go on in `source` where `file` ends, or in both at the start if `source` is a stream."""
    try:
        source.seek(file.tell())
    except ValueError:
        file.seek(0)


def _version(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what of a store's entry changes when somebody replaces the object."""
    telling = ("size", "generation", "etag", "ETag", "Last-Modified", "mtime")
    return {key: entry[key] for key in telling if key in entry}


def _find(store: AbstractFileSystem, folder: str) -> list[str]:
    """Return the paths of all files below a folder."""
    if not isinstance(store, LocalFileSystem):
        return list(store.find(folder))
    # fsspec would leave out folders that are links, or that this user may not read.
    found = []
    for level, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        for link in filter(Path.is_symlink, (Path(level, name) for name in folders)):
            if Path(level).resolve().is_relative_to(link.resolve()):
                raise OSError(f"the link {link} leads back to a folder that holds it")
        # A pipe or a socket would be waited for without end.
        files = (Path(level, name) for name in names)
        # A link that leads nowhere stays, so that fetching it says so.
        found += [str(file) for file in files if file.is_file() or not file.exists()]
    return found


def _raise(error: OSError) -> None:
    raise error


def _relative_name(name: str, folder: str) -> str:
    return name.removeprefix(folder.rstrip("/")).removeprefix("/")


def _open_store(url: str, parameter: str | None) -> tuple[AbstractFileSystem, str]:
    """Return the file system that a URL names, and the path there."""
    protocol, _ = fsspec.core.split_protocol(url)
    options: dict[str, Any] = {}
    if protocol in ("gs", "gcs"):
        options = {
            "token": _google_token(),
            "requests_timeout": HTTP_TIMEOUT,
            "session_kwargs": {"trust_env": True},
        }
    elif protocol in ("http", "https"):
        options = {
            "block_size": 0,  # stream: not every server can send parts of a file
            "client_kwargs": {
                "timeout": HTTP_TIMEOUT,
                "trust_env": True,
                "headers": {"Accept-Encoding": "identity"},  # else sizes are of compressed bytes
            },
        }
    store, path = _retry(
        lambda: fsspec.core.url_to_fs(url, skip_instance_cache=True, **options), url, parameter
    )
    return store, path


def _google_token() -> str:
    """Return gcsfs's name for how to sign in: with what this machine holds, else not at all.

    gcsfs's own search would also ask the metadata server for the machine's
    service account, which costs seconds everywhere but on Google's machines,
    and there would take a machine without one for signed in.
    """
    gcloud = Path(os.environ.get("CLOUDSDK_CONFIG", Path.home() / ".config/gcloud"))
    has_credentials = (
        bool(os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"))
        or (gcloud / "application_default_credentials.json").exists()
        or (
            MACHINE.exists()
            and MACHINE.read_text(errors="replace").startswith("Google")
            and _has_service_account()
        )
    )
    return "google_default" if has_credentials else "anon"


def _has_service_account() -> bool:
    """Ask the metadata server of Google's machines whether this one has a service account."""
    server = HTTPConnection(
        os.environ.get("GCE_METADATA_HOST", "metadata.google.internal"), timeout=METADATA_SECONDS
    )
    try:
        server.request("GET", SERVICE_ACCOUNT, headers={"Metadata-Flavor": "Google"})
        return server.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        server.close()


def _retry(
    action: Callable[[], Result],
    url: str,
    parameter: str | None,
    position: Callable[[], int] = lambda: 0,
) -> Result:
    """Return what `action` returns, tried again with growing pauses after passing faults.

    Patience begins anew whenever a try got `position` further than all before.
    """
    furthest = 0
    give_up, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except Exception as error:  # every store has kinds of its own
            if is_out_of_memory(error) or getattr(error, "errno", None) in FULL_DISK:
                raise  # which no other address mends
            fault = _root(error)
            if position() > furthest:
                furthest = position()
                give_up, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
            if not _is_passing(fault) or time.monotonic() + pause > give_up:
                raise _failure(url, _reason(fault), parameter) from None
        time.sleep(pause)
        pause *= 2


def _root(error: Exception) -> BaseException:
    """Undo fsspec's way of calling every HTTP fault a missing file, and name a broken answer."""
    if isinstance(error, json.JSONDecodeError):
        return ConnectionError(f"what the store said was cut short ({error})")
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of aiohttp or gcsfs carries."""
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _is_passing(error: BaseException) -> bool:
    status = _status(error)
    if status:
        return status in (408, 429) or status >= 500
    kinds = (ConnectionError, TimeoutError, aiohttp.ClientError)
    return isinstance(error, kinds) and not isinstance(error, ValueError)


def _reason(error: BaseException) -> str:
    detail = " ".join(str(error).split()).removeprefix(", ") or type(error).__name__
    if isinstance(error, ImportError):
        return f"a package that its protocol needs is not installed ({detail})"
    if isinstance(error, FileNotFoundError) or _status(error) == 404:
        return "there is no such file, folder or bucket"
    if isinstance(error, IsADirectoryError):
        return "it is a folder where one file is needed"
    if isinstance(error, PermissionError) or _status(error) in (401, 403) or "Forbidden" in detail:
        return f"this machine may not read it ({detail})"
    if isinstance(error, (TimeoutError, aiohttp.ClientConnectionError)):
        return f"the host cannot be reached ({detail})"
    # All that gcsfs says of an answer without words is its number.
    return f"the store answers with HTTP status {detail}" if detail.isdigit() else detail


def _failure(url: str, reason: str, parameter: str | None) -> FetchError:
    advice = f"; point {parameter} at another file, folder or URL" if parameter else ""
    return FetchError(f"{url} could not be fetched: {reason}{advice}.")
