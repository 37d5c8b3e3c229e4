"""Fetching and listing: what stands in a folder or on a page, and what no address leads to."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from storage_work import contents

from trashnet.errors import PipelineError
from trashnet.storage import fetch_file, fetch_folder, is_folder, list_files


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
