"""The real gcsfs client and a bucket behind a line that misbehaves."""

import http.client
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import aiohttp
import pytest
from params_work import write_params_of_mine

from stages import download
from trashnet import storage
from trashnet.errors import PipelineError
from trashnet.storage import fetch_file, fetch_folder, is_folder

PutObject = Callable[[str, bytes], None]
Answer = tuple[int, dict[str, str], bytes]

CONTENT = bytes(range(256)) * 400


class Line(BaseHTTPRequestHandler):
    """Passes requests on to the bucket, and spoils those for which a fault is waiting."""

    server: "MisbehavingLine"

    def do_GET(self) -> None:
        status, headers, body = self.ask_the_bucket()
        fault = self.server.next_fault() if self.server.spoils in self.path else ""
        match fault:
            case "500" | "429" | "403":
                self.answer(int(fault), {}, b"the line refuses")
            case "reset":
                self.answer(status, headers, body[: len(body) // 2], len(body))
                self.reset()
            case "cut short":
                self.answer(status, headers, body[: len(body) // 2])
            case "altered":
                self.answer(status, headers, bytes(len(body)))
            case "stall":
                time.sleep(2)
            case _:
                self.answer(status, headers, body)

    def ask_the_bucket(self) -> Answer:
        connection = http.client.HTTPConnection(self.server.bucket)
        wanted = {key: value for key, value in self.headers.items() if key.lower() == "range"}
        connection.request("GET", self.path, headers=wanted)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    def answer(
        self, status: int, headers: dict[str, str], body: bytes, claimed: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() in ("content-type", "content-range"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """End the connection as a machine does that crashes: with RST and not with FIN."""
        self.wfile.flush()
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class MisbehavingLine(ThreadingHTTPServer):
    """Stands before the bucket; `faults` spoil the next downloads, the last one for ever."""

    daemon_threads = True

    def __init__(self, bucket: str) -> None:
        super().__init__(("127.0.0.1", 0), Line)
        self.bucket = bucket
        self.faults: list[str] = []
        self.for_ever = False
        self.spoils = "alt=media"  # downloads; "" for questions about objects and folders as well

    def next_fault(self) -> str:
        if self.for_ever and len(self.faults) == 1:
            return self.faults[0]
        return self.faults.pop(0) if self.faults else ""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def line(put_object: PutObject, monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingLine]:
    """Hold an object behind the line, with a client that is soon out of patience."""
    put_object("photos.zip", CONTENT)
    line = MisbehavingLine(urlsplit(os.environ["STORAGE_EMULATOR_HOST"]).netloc)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{line.server_port}")
    monkeypatch.setattr(storage, "HTTP_TIMEOUT", aiohttp.ClientTimeout(sock_read=0.5))
    monkeypatch.setattr(storage, "FIRST_PAUSE_SECONDS", 0.05)
    Thread(target=line.serve_forever, daemon=True).start()
    yield line
    line.shutdown()


PASSING = ["500", "429", "reset", "cut short", "stall"]


@pytest.mark.parametrize("fault", PASSING)
def test_passing_fault_is_ridden_out(fault: str, line: MisbehavingLine, tmp_path: Path) -> None:
    line.faults = [fault, fault]

    fetch_file("gs://photos/photos.zip", tmp_path / "it")

    assert line.faults == []
    assert (tmp_path / "it").read_bytes() == CONTENT


def test_one_fault_after_another_is_ridden_out_in_a_folder(
    line: MisbehavingLine, put_object: PutObject, tmp_path: Path
) -> None:
    for number in range(12):
        put_object(f"set/glass/{number}.jpg", CONTENT[number:])
    line.faults = PASSING * 2

    fetch_folder("gs://photos/set", tmp_path / "set")

    assert line.faults == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "set/glass").iterdir()} == {
        f"{number}.jpg": CONTENT[number:] for number in range(12)
    }


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_lasting_fault_ends_in_a_sentence_and_leaves_nothing(
    fault: str, line: MisbehavingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.faults, line.for_ever = [fault], True
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 2.0)

    with pytest.raises(PipelineError) as refused:
        fetch_file("gs://photos/photos.zip", tmp_path / "it", "datasets.mine.url")

    sentence = str(refused.value)
    assert sentence.startswith("gs://photos/photos.zip could not be fetched: ")
    assert sentence.endswith("point datasets.mine.url at another file, folder or URL.")
    assert "\n" not in sentence
    assert list(tmp_path.glob("*it*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_passing_fault_of_a_question_is_ridden_out(
    fault: str, line: MisbehavingLine, put_object: PutObject, tmp_path: Path
) -> None:
    put_object("set/glass/1.jpg", CONTENT)
    line.spoils, line.faults = "", [fault] * 3

    fetch_folder("gs://photos/set", tmp_path / "set")

    assert line.faults == []
    assert (tmp_path / "set/glass/1.jpg").read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "cut short"])
def test_lasting_fault_of_a_question_ends_in_a_sentence(
    fault: str, line: MisbehavingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.spoils, line.faults, line.for_ever = "", [fault], True
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 2.0)
    began = time.monotonic()

    with pytest.raises(PipelineError, match=r"^gs://photos/set could not be fetched: ") as refused:
        fetch_folder("gs://photos/set", tmp_path / "set", "datasets.mine.url")

    assert "\n" not in str(refused.value)
    said = {"500": "the line refuses, 500;", "cut short": "was cut short"}[fault]
    assert said in str(refused.value)
    assert list(tmp_path.glob("*set*")) == []
    assert time.monotonic() - began < 60


def test_answer_without_words_is_given_as_its_status() -> None:
    wordless = OSError(", 503")  # gcsfs joins what the store said, here nothing, and the status

    assert storage._reason(wordless) == "the store answers with HTTP status 503"


def test_denied_download_is_told_at_once(line: MisbehavingLine, tmp_path: Path) -> None:
    line.faults, line.for_ever = ["403"], True
    began = time.monotonic()

    with pytest.raises(PipelineError, match="this machine may not read it"):
        fetch_file("gs://photos/photos.zip", tmp_path / "it")

    assert time.monotonic() - began < 5


def test_missing_bucket_is_told_with_its_address(line: MisbehavingLine) -> None:
    with pytest.raises(PipelineError, match=r"^gs://nowhere/photos\.zip could not be fetched"):
        is_folder("gs://nowhere/photos.zip")


@pytest.fixture
def dataset(
    line: MisbehavingLine,
    put_object: PutObject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Put a dataset into the bucket, download it once, and return its content hash."""
    monkeypatch.chdir(tmp_path)
    for name in ("glass/1.jpg", "paper/1.jpg"):
        put_object(f"set/{name}", CONTENT + name.encode())
    write_params_of_mine(url="gs://photos/set")
    download.main()
    return capsys.readouterr().out.split()[-1]


def photos() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}


def test_altered_bytes_are_never_accepted(dataset: str, line: MisbehavingLine) -> None:
    before = photos()
    write_params_of_mine(url="gs://photos/set", content_sha256=dataset)
    line.faults, line.for_ever = ["altered"], True

    with pytest.raises(PipelineError, match=f"other files than expected.*not {dataset}"):
        download.main()

    assert photos() == before


def test_object_that_changed_between_two_runs_is_fetched_anew(
    dataset: str, put_object: PutObject
) -> None:
    put_object("set/glass/1.jpg", b"another photo")

    download.main()

    assert photos()["data/raw/glass/1.jpg"] == b"another photo"


def test_object_that_changed_is_refused_where_its_hash_is_pinned(
    dataset: str, put_object: PutObject
) -> None:
    before = photos()
    write_params_of_mine(url="gs://photos/set", content_sha256=dataset)
    put_object("set/glass/1.jpg", b"another photo")

    with pytest.raises(PipelineError, match="other files than expected"):
        download.main()

    assert photos() == before
