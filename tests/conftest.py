"""The order of the tests, and what several files of them use: photos, features, stores, nodes."""

import fcntl
import json
import re
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from cluster_nodes import Nodes
from gcp_storage_emulator import server
from hypothesis import settings
from params_work import write_params_of_mine
from prepare_work import PutFile, jpeg
from split_work import WriteLists
from storage_work import serve
from study_work import make_repository

from trashnet import storage
from trashnet.dataset import RAW, SPLIT_NAMES
from trashnet.weights import write_random_weights_note

# An example may take as long as a busy machine makes it.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

PutObject = Callable[[str, bytes], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests last, so that a plain mistake shows within seconds."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path in slow_files)


@pytest.fixture
def separable() -> tuple[np.ndarray, np.ndarray]:
    """Pooled features of 60 photos with 3 views each, and one-hot targets they give away."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    targets = np.eye(3, dtype=np.float32)[labels]
    noise = random.normal(0, 0.3, (60, 3, 8))
    return (noise + np.pad(targets, ((0, 0), (0, 5)))[:, None]).astype(np.float32), targets


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of a backbone that are a note to draw them."""
    path = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    write_random_weights_note(path)
    return path


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Smooth coloured noise: more like photos than white noise is."""
    coarse = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3))
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.uint8)


@pytest.fixture
def put_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PutObject]:
    """Serve an empty bucket gs://photos on this machine; yield how to put an object into it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{address}")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-credentials"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(storage, "MACHINE", tmp_path / "no-maker")

    monkeypatch.setattr(server, "_read_data", read_multipart_exactly(server._read_data))

    def put(name: str, content: bytes) -> None:
        connection = HTTPConnection(address)
        connection.request("PUT", f"/photos/{quote(name)}", content)
        assert connection.getresponse().status == HTTPStatus.OK
        connection.close()

    host, port = address.split(":")
    with server.create_server(host, int(port), in_memory=True, default_bucket="photos"):
        yield put


def read_multipart_exactly(read: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the emulator's reader of bodies: it takes uploads for e-mails and spoils binary ones."""

    def read_exactly(handler: Any, query: Any) -> Any:
        content_type = handler.headers.get("Content-Type") or ""
        boundary = re.fullmatch(r"multipart/related; *boundary=[\"']*(.+?)[\"']*", content_type)
        if boundary is None:
            return read(handler, query)
        body = server._read_raw_data(handler)
        separator = b"--" + boundary[1].encode()
        _, metadata, rest = body.split(separator, 2)
        head, _, content = rest.rpartition(separator)[0].partition(b"\n\n")
        return {
            "meta": json.loads(metadata.partition(b"\n\n")[2]),
            "content": content.removesuffix(b"\n"),
            "content-type": head.partition(b":")[2].strip().decode(),
        }

    return read_exactly


@pytest.fixture(scope="module")
def small_chunks_and_no_pauses() -> Iterator[None]:
    """Fetch ten bytes at a time, and try again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "CHUNK_BYTES", 10)
        patch.setattr(storage, "FIRST_PAUSE_SECONDS", 0.0)
        yield


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield an address on this machine and the folder that it shows."""
    folder = tmp_path / "website"
    folder.mkdir()
    with serve(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Start a Ray cluster of two cores on this machine, one for each file of tests."""
    with (
        (tmp_path_factory.getbasetemp().parent / "cluster.lock").open("w") as lock,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Of the processes that pytest-xdist starts one at a time: two clusters are too much.
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for cluster_work
        nodes = Nodes(workers=2)
        yield nodes
        nodes.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a git repository with parameters and code, one commit old."""
    return make_repository(tmp_path)


@pytest.fixture
def write_lists(tmp_path: Path) -> WriteLists:
    """Return how to write the authors' three lists; the address of their folder comes back."""

    def write_lists(**lines: list[str]) -> str:
        folder = tmp_path / "lists"
        folder.mkdir()
        for name in SPLIT_NAMES:
            text = "".join(f"{line}\n" for line in lines.get(name, []))
            (folder / f"one-indexed_{name}.txt").write_text(text, encoding="utf-8")
        return f"{folder}/"

    return write_lists


@pytest.fixture
def put_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutFile:
    """Run in a folder of its own, and return how to put a file into its data/raw."""
    monkeypatch.chdir(tmp_path)
    write_params_of_mine(tmp_path)

    def put_file(path: str, content: bytes) -> None:
        (RAW / path).parent.mkdir(parents=True, exist_ok=True)
        (RAW / path).write_bytes(content)

    return put_file


@pytest.fixture
def dataset(put_file: PutFile) -> None:
    """Put two photos into each of two classes."""
    for number, path in enumerate(["glass/1.jpg", "glass/2.jpg", "paper/1.jpg", "paper/2.jpg"]):
        put_file(path, jpeg(number))


@pytest.fixture
def set_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the test in an empty repository; return what writes `models` to its params.yaml."""
    # With it comes scikit-learn, which takes a second.
    from compare_work import write_models, write_split  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    write_split()
    return write_models


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder with a comparison of two models; a third is left from an earlier run."""
    # With it comes TensorFlow, for which the other tests need not wait.
    from app_work import write_comparison  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    write_comparison()
    return tmp_path
