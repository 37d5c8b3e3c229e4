"""Fetching: whole files or none, through broken lines, from every kind of store."""

import errno
import importlib.util
import io
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from gcp_storage_emulator.server import HANDLERS
from hypothesis import given
from hypothesis import strategies as st

from trashnet import storage
from trashnet.errors import PipelineError
from trashnet.storage import fetch_file, fetch_folder, is_folder, list_files

PutObject = Callable[[str, bytes], None]


class FlakyStore(fsspec.AbstractFileSystem):
    """One object behind a line that breaks: `breaks_at` names the byte for each next opening."""

    protocol = "flaky"
    content: ClassVar[bytes]
    claimed_size: ClassVar[int]
    breaks_at: ClassVar[list[int]]
    started_at: ClassVar[list[int]]
    fault: ClassVar[Exception]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": self.claimed_size}

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BinaryIO:
        return FlakyFile(self.content, self.breaks_at.pop(0) if self.breaks_at else None)

    @classmethod
    def holds(cls, content: bytes, breaks_at: list[int]) -> None:
        cls.content, cls.claimed_size = content, len(content)
        cls.breaks_at, cls.started_at = list(breaks_at), []
        cls.fault = ConnectionResetError("line broke")


class FlakyFile(io.BytesIO):
    """A remote file whose line breaks once the reader has got to a certain byte."""

    def __init__(self, content: bytes, breaks_at: int | None) -> None:
        super().__init__(content)
        self.breaks_at = breaks_at

    def seek(self, position: int, whence: int = 0) -> int:
        FlakyStore.started_at.append(position)
        return super().seek(position, whence)

    def read(self, size: int | None = -1) -> bytes:
        if self.breaks_at is not None and self.tell() >= self.breaks_at:
            raise FlakyStore.fault
        return super().read(size)


@pytest.fixture(autouse=True, scope="module")
def small_chunks_and_no_pauses() -> Iterator[None]:
    fsspec.register_implementation("flaky", FlakyStore, clobber=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "CHUNK_BYTES", 10)
        patch.setattr(storage, "FIRST_PAUSE_SECONDS", 0.0)
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", -1.0)


def test_broken_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = bytes(range(100))
    FlakyStore.holds(content, breaks_at=[40, 70])

    fetch_file("flaky://it", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == content
    assert FlakyStore.started_at == [0, 40, 70]


@given(content=st.binary(max_size=60), breaks_at=st.lists(st.integers(0, 60), max_size=8))
def test_whatever_breaks_every_byte_arrives_once(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, breaks_at: list[int]
) -> None:
    FlakyStore.holds(content, breaks_at)
    target = tmp_path_factory.mktemp("fetched") / "it"

    fetch_file("flaky://it", target)

    assert target.read_bytes() == content


def test_replaced_object_is_not_mixed_with_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FlakyStore.holds(b"old" * 20, breaks_at=[40])

    def replace_meanwhile(store: FlakyStore) -> None:
        FlakyStore.holds(b"new" * 5, breaks_at=[])

    monkeypatch.setattr(FlakyStore, "invalidate_cache", replace_meanwhile, raising=False)
    fetch_file("flaky://it", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == b"new" * 5


def test_patience_begins_anew_with_every_new_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty_seconds_a_look = itertools.count(step=20)
    clock = SimpleNamespace(monotonic=lambda: next(twenty_seconds_a_look), sleep=time.sleep)
    monkeypatch.setattr(storage, "time", clock)
    FlakyStore.holds(bytes(100), breaks_at=[20, 40, 60, 80])

    fetch_file("flaky://it", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == bytes(100)


@pytest.mark.usefixtures("impatient")
def test_line_that_stays_broken_leaves_nothing(tmp_path: Path) -> None:
    FlakyStore.holds(bytes(100), breaks_at=[40, 40, 40])

    with pytest.raises(PipelineError, match="flaky://it could not be fetched: line broke; point x"):
        fetch_file("flaky://it", tmp_path / "it", "x")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("impatient")
def test_fewer_bytes_than_the_store_says_are_refused(tmp_path: Path) -> None:
    FlakyStore.holds(bytes(100), breaks_at=[])
    FlakyStore.claimed_size = 101

    with pytest.raises(PipelineError, match="100 bytes came of 101"):
        fetch_file("flaky://it", tmp_path / "it")


def test_failed_fetch_keeps_the_file_from_before(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("from before")
    FlakyStore.holds(bytes(100), breaks_at=[40])
    FlakyStore.fault = OSError("Forbidden: it")

    with pytest.raises(PipelineError, match="may not read it"):
        fetch_file("flaky://it", tmp_path / "it")

    assert (tmp_path / "it").read_text() == "from before"


def test_denied_access_is_not_tried_again(tmp_path: Path) -> None:
    FlakyStore.holds(bytes(100), breaks_at=[0] * 5)
    FlakyStore.fault = PermissionError("not yours")

    with pytest.raises(PipelineError, match=r"may not read it \(not yours\)"):
        fetch_file("flaky://it", tmp_path / "it")

    assert FlakyStore.started_at == [0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_full_disk_is_not_blamed_on_the_address(number: int, tmp_path: Path) -> None:
    FlakyStore.holds(bytes(100), breaks_at=[40])
    FlakyStore.fault = OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=os.strerror(number)):
        fetch_file("flaky://it", tmp_path / "it")


def test_local_file_with_spaces_and_umlauts(tmp_path: Path) -> None:
    source = tmp_path / "Müll und Glas.zip"
    source.write_bytes(b"photos")

    fetch_file(str(source), tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"photos"


def test_local_folder_with_all_that_is_in_it(tmp_path: Path) -> None:
    source = tmp_path / "grüne Tonne"
    (source / "glass" / "old").mkdir(parents=True)
    (source / "glass" / "1 a.jpg").write_bytes(b"one")
    (source / "glass" / "old" / "ü.jpg").write_bytes(b"two")

    fetch_folder(str(source), tmp_path / "copy")

    assert contents(tmp_path / "copy") == {"glass/1 a.jpg": b"one", "glass/old/ü.jpg": b"two"}


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_bytes(b"one")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "glass").symlink_to(tmp_path / "elsewhere")

    fetch_folder(str(tmp_path / "set"), tmp_path / "copy")

    assert contents(tmp_path / "copy") == {"glass/1.jpg": b"one"}


def test_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "1.jpg").write_bytes(b"one")
    os.mkfifo(tmp_path / "set" / "pipe")
    (tmp_path / "set" / "link").symlink_to("pipe")

    fetch_folder(str(tmp_path / "set"), tmp_path / "copy")

    assert contents(tmp_path / "copy") == {"1.jpg": b"one"}


def test_link_to_a_folder_above_is_named(tmp_path: Path) -> None:
    (tmp_path / "set" / "glass").mkdir(parents=True)
    (tmp_path / "set" / "glass" / "up").symlink_to(tmp_path / "set")

    with pytest.raises(PipelineError, match="glass/up leads back to a folder that holds it"):
        fetch_folder(str(tmp_path / "set"), tmp_path / "copy")


def test_folders_are_told_from_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert is_folder(str(tmp_path))
    assert not is_folder(str(tmp_path / "file"))


def test_files_directly_in_a_folder_are_listed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "deep.txt").touch()
    (tmp_path / "b.txt").touch()
    (tmp_path / "a.txt").touch()

    assert list_files(str(tmp_path)) == ["a.txt", "b.txt"]


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(PipelineError, match="holds no files; point x"):
        fetch_folder(str(tmp_path / "empty"), tmp_path / "copy", "x")


def test_name_that_leads_out_of_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"/set/../../evil": {}}
    monkeypatch.setattr(MemoryFileSystem, "find", lambda store, path, **options: names)

    with pytest.raises(PipelineError, match=r"'\.\./\.\./evil' leads out of the folder"):
        fetch_folder("memory://set", tmp_path / "copy")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "set" / "glass").mkdir(parents=True)
    (tmp_path / "set" / "paper.jpg").touch()
    (tmp_path / "set" / "glass").chmod(0)

    with pytest.raises(PipelineError, match="may not read it"):
        fetch_folder(str(tmp_path / "set"), tmp_path / "copy")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/nowhere/dataset.zip", "there is no such file, folder or bucket"),
        ("odd://dataset.zip", "Protocol not known: odd"),
    ],
)
def test_wrong_address_is_explained(url: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        fetch_file(url, tmp_path / "it", "datasets.mine.url")

    assert str(caught.value) == (
        f"{url} could not be fetched: {reason}; point datasets.mine.url at another file, folder "
        "or URL."
    )


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"not installed .*s3fs"):
        fetch_file("s3://bucket/dataset.zip", tmp_path / "it")


class Website(SimpleHTTPRequestHandler):
    """A plain web server, which sends no parts of files and drops the first `drops` half-way."""

    drops = 0

    def do_GET(self) -> None:
        if Website.drops and not self.path.endswith("/"):
            Website.drops -= 1
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 500)
            time.sleep(0.2)  # a line that breaks sooner takes what it brought along
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield an address on this machine and the folder that it shows."""
    folder = tmp_path / "website"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Website, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_broken_http_transfer_starts_over(website: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = website
    (folder / "Müll 1.zip").write_bytes(bytes(1000))
    Website.drops = 2

    fetch_file(f"{address}/Müll 1.zip", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == bytes(1000)


def test_proxy_of_the_environment_is_used(
    website: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = website
    # Proxies are asked for whole addresses, which this server takes for paths.
    (folder / "http:" / "photos.example").mkdir(parents=True)
    (folder / "http:" / "photos.example" / "set.zip").write_bytes(b"by proxy")
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    fetch_file("http://photos.example/set.zip", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == b"by proxy"


def test_missing_page_is_told_at_once(website: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = website

    with pytest.raises(PipelineError, match="there is no such file, folder or bucket"):
        fetch_file(f"{address}/none.zip", tmp_path / "it")


def test_page_of_links_is_listed(website: tuple[str, Path]) -> None:
    address, folder = website
    (folder / "für test.txt").touch()
    (folder / "more").mkdir()

    assert list_files(f"{address}/") == ["für test.txt"]


@pytest.mark.usefixtures("impatient")
def test_unreachable_host_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="the host cannot be reached"):
        fetch_file("http://127.0.0.1:9/dataset.zip", tmp_path / "it")


def test_object_comes_out_of_a_bucket(put_object: PutObject, tmp_path: Path) -> None:
    content = os.urandom(1000)
    put_object("Müll 1.zip", content)

    fetch_file("gs://photos/Müll 1.zip", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == content


@pytest.mark.parametrize("url", ["gs://photos/my set", "gs://photos/my set/"])
def test_prefix_comes_out_of_a_bucket(url: str, put_object: PutObject, tmp_path: Path) -> None:
    objects = {f"glass/{number} ä.jpg": bytes([number]) for number in range(20)}
    for name, content in objects.items():
        put_object(f"my set/{name}", content)
    put_object("another set/paper/1.jpg", b"not wanted")

    fetch_folder(url, tmp_path / "copy")

    assert contents(tmp_path / "copy") == objects


def test_whole_bucket_is_a_folder_for_anyone(
    put_object: PutObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_object("glass/1.jpg", b"one")

    def deny(request: Any, response: Any, store: Any) -> None:
        """Answer as Google does when a stranger asks about a bucket, not about its objects."""
        response.status = HTTPStatus.UNAUTHORIZED

    for pattern, handlers in HANDLERS:
        if pattern.endswith(r"/b/(?P<bucket_name>[-.\w]+)$"):
            monkeypatch.setitem(handlers, "GET", deny)

    assert is_folder("gs://photos")
    fetch_folder("gs://photos", tmp_path / "copy")

    assert contents(tmp_path / "copy") == {"glass/1.jpg": b"one"}


def test_prefixes_are_told_from_objects(put_object: PutObject) -> None:
    put_object("set/glass/1.jpg", b"one")

    assert is_folder("gs://photos/set/glass")
    assert not is_folder("gs://photos/set/glass/1.jpg")
    assert list_files("gs://photos/set/glass") == ["1.jpg"]


def test_prefix_in_place_of_an_object_is_told(put_object: PutObject, tmp_path: Path) -> None:
    put_object("set/glass/1.jpg", b"photo")

    with pytest.raises(PipelineError, match="it is a folder where one file is needed"):
        fetch_file("gs://photos/set", tmp_path / "it")


@pytest.mark.usefixtures("put_object")
@pytest.mark.parametrize("url", ["gs://photos/none.zip", "gs://no-such-bucket/dataset.zip"])
def test_missing_object_or_bucket_is_explained(url: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        fetch_file(url, tmp_path / "it", "datasets.mine.url")

    assert str(caught.value) == (
        f"{url} could not be fetched: there is no such file, folder or bucket; "
        "point datasets.mine.url at another file, folder or URL."
    )


def test_credentials_are_used_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    with pytest.raises(PipelineError, match=r"key\.json"):
        is_folder("gs://photos/set")


@pytest.mark.parametrize(
    ("maker", "account", "sign_in"),
    [
        ("Google Compute Engine\n", True, "google_default"),
        ("Google Compute Engine\n", False, "anon"),
        ("Standard PC\n", True, "anon"),
        (None, True, "anon"),
    ],
)
def test_service_account_of_a_google_machine_is_used(
    maker: str | None,
    account: bool,
    sign_in: str,
    website: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, root = website
    monkeypatch.setenv("GCE_METADATA_HOST", address.removeprefix("http://"))
    if account:
        email = root / storage.SERVICE_ACCOUNT.removeprefix("/")
        email.parent.mkdir(parents=True)
        email.write_text("someone@example.org")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setattr(storage, "MACHINE", tmp_path / "product_name")
    if maker:
        storage.MACHINE.write_text(maker)

    assert storage._google_token() == sign_in


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
