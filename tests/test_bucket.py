"""Fetching from a bucket: objects and prefixes, what is missing, and who asks."""

import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from gcp_storage_emulator.server import HANDLERS
from storage_work import contents

from trashnet import storage
from trashnet.errors import PipelineError
from trashnet.storage import fetch_file, fetch_folder, is_folder, list_files

pytestmark = pytest.mark.usefixtures("small_chunks_and_no_pauses")

PutObject = Callable[[str, bytes], None]


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
