"""The order of the tests, and the bucket that several of them fetch from."""

import socket
from collections.abc import Iterator
from pathlib import Path

import gcsfs
import pytest
from gcp_storage_emulator.server import create_server

import trashnet.storage  # noqa: F401 - sets up gcsfs before its first import


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests last, so that a plain mistake shows within seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[gcsfs.GCSFileSystem]:
    """Serve an empty bucket gs://photos on this machine, and yield a client to fill it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-credentials"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with create_server("127.0.0.1", port, in_memory=True, default_bucket="photos"):
        yield gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True)
