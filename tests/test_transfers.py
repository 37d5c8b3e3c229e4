"""Fetching through lines that break: a file is whole in the end, or as it was before."""

import errno
import io
import itertools
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_work import Website

from trashnet import storage
from trashnet.errors import PipelineError
from trashnet.storage import fetch_file


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
def flaky_store(small_chunks_and_no_pauses: None) -> None:
    fsspec.register_implementation("flaky", FlakyStore, clobber=True)


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


def test_broken_http_transfer_starts_over(website: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = website
    (folder / "Müll 1.zip").write_bytes(bytes(1000))
    Website.drops = 2

    fetch_file(f"{address}/Müll 1.zip", tmp_path / "it")

    assert (tmp_path / "it").read_bytes() == bytes(1000)


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
def test_unreachable_host_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="the host cannot be reached"):
        fetch_file("http://127.0.0.1:9/dataset.zip", tmp_path / "it")


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
