"""The order of the tests, and the bucket that several of them fetch from."""

import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from gcp_storage_emulator.server import create_server

PutObject = Callable[[str, bytes], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests last, so that a plain mistake shows within seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture
def put_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PutObject]:
    """Serve an empty bucket gs://photos on this machine; yield how to put an object into it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{address}")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-credentials"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    def put(name: str, content: bytes) -> None:
        # Not through gcsfs: the emulator takes its uploads for e-mails and spoils binary ones.
        connection = HTTPConnection(address)
        connection.request("PUT", f"/photos/{quote(name)}", content)
        assert connection.getresponse().status == HTTPStatus.OK
        connection.close()

    host, port = address.split(":")
    with create_server(host, int(port), in_memory=True, default_bucket="photos"):
        yield put
