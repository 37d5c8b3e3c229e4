"""The app as people start it: its server, and its pages in a browser."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import numpy as np
import pytest
from app_work import photo, write_comparison
from playwright.sync_api import Page, expect, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.answers import in_words
from trashnet.metrics import apply_temperature, read_predictions

REPOSITORY = Path(__file__).parents[1]
APP = REPOSITORY / "app" / "main.py"
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start the app as people do, where models are compared; yield where it is."""
    monkeypatch.chdir(tmp_path)
    write_comparison()
    (tmp_path / ".streamlit").symlink_to(REPOSITORY / ".streamlit")
    with started(tmp_path, tmp_path / "app.log") as url:
        yield url


@contextmanager
def started(folder: Path, said: Path) -> Iterator[str]:
    """Start the app in a folder and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(APP),
        "--server.port",
        str(port),
    ]
    with said.open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(f"http://localhost:{port}/_stcore/health", server, said)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(url, timeout=5):  # noqa: S310
                return
        except URLError:
            time.sleep(0.1)
    raise AssertionError(said.read_text())


class Visitor:
    """A page that is open in a browser, as the server sees it: a session that may upload."""

    def __init__(self, client: aiohttp.ClientSession, address: str, token: str) -> None:
        self._client, self._address, self._token = client, address, token
        self._session = "nobody"

    async def open_page(self) -> None:
        """Start the page and wait for the name of its session."""
        # Held, because the session ends with the connection.
        self._stream = await self._client.ws_connect(
            f"{self._address}/_stcore/stream", protocols=["streamlit"], max_msg_size=0
        )
        start = BackMsg()
        start.rerun_script.query_string = ""
        await self._stream.send_bytes(start.SerializeToString())
        message = ForwardMsg()
        while message.WhichOneof("type") != "new_session":
            message.ParseFromString(await self._stream.receive_bytes(timeout=60))
        self._session = message.new_session.initialize.session_id

    async def upload(self, name: str, content: bytes) -> int:
        """Send a file as the page does and return the HTTP status."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name, content_type="image/png")
        return await self.send(form)

    async def send(self, data: aiohttp.FormData | bytes) -> int:
        address = f"{self._address}/_stcore/upload_file/{self._session}/{uuid.uuid4()}"
        token = {"X-Xsrftoken": self._token, "Cookie": f"_streamlit_xsrf={self._token}"}
        async with self._client.put(address, data=data, headers=token) as response:
            return response.status


async def visit(address: str) -> dict[str, object]:
    """Upload from twenty pages at once, and what the page itself would never send."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{address}/_stcore/health") as response:
            token = response.cookies["_streamlit_xsrf"].value
        visitors = [Visitor(client, address, token) for _ in range(20)]
        await asyncio.gather(*(visitor.open_page() for visitor in visitors))
        large = [visitor.upload("large.png", bytes(19_000_000)) for visitor in visitors]
        return {
            "too large": await visitors[0].upload("larger.png", bytes(21_000_000)),
            "no form": await visitors[0].send(b"{}"),
            "a path": await visitors[0].upload("../../evil.png", photo("red")),
            "no page": await Visitor(client, address, token).upload("a.png", photo("red")),
            "no token": await Visitor(client, address, "").upload("a.png", photo("red")),
            "twenty at once": set(await asyncio.gather(*large)),
        }


@pytest.mark.slow
def test_server_takes_photos_of_its_own_pages_alone_and_keeps_none(
    address: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.parent.rglob("*"))

    statuses = asyncio.run(visit(address))

    assert statuses == {
        "too large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "no form": HTTPStatus.BAD_REQUEST,
        "a path": HTTPStatus.NO_CONTENT,
        "no page": HTTPStatus.BAD_REQUEST,
        "no token": HTTPStatus.FORBIDDEN,
        "twenty at once": {HTTPStatus.NO_CONTENT},
    }
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root, as whom containers run; it only opens our own page.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        yield page
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: chromium is not on this machine")
@pytest.mark.parametrize(("width", "height"), [(1100, 900), (390, 844)])
def test_person_finds_the_way_in_a_browser(
    address: str, page: Page, tmp_path: Path, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    files = page.locator("input[type=file]")

    files.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo("blue")})
    expect(page.get_by_role("heading", name="This is blue_bin (99% sure).")).to_be_visible()
    expect(page.get_by_role("img", name="orange where the model saw blue_bin")).to_be_visible()
    page.screenshot(path=tmp_path / f"{width}-answer.png")

    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="MobileNet:").click()
    expect(page.get_by_role("heading", name="This is blue_bin (79% sure).")).to_be_visible()

    files.set_input_files({"name": "www.b.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    expect(page.get_by_text("b.jpg: The file is neither a JPEG nor a PNG")).to_be_visible()
    expect(page.get_by_role("link", name="b.jpg")).to_have_count(0)
    page.screenshot(path=tmp_path / f"{width}-broken.png")

    page.get_by_role("tab", name="How good is it?").click()
    expect(page.get_by_role("rowheader", name="<green>")).to_be_visible()
    expect(page.get_by_text("validation loss", exact=True)).to_be_visible()
    page.screenshot(path=tmp_path / f"{width}-quality.png")

    page.get_by_role("tab", name="How good is it?").press("ArrowRight")
    expect(page.get_by_role("heading", name="This is red, taken for blue_bin.")).to_be_visible()
    page.screenshot(path=tmp_path / f"{width}-mistakes.png")

    page.get_by_role("tab", name="Ask").click()
    expect(page.get_by_role("heading", name="This is blue_bin (79% sure).")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: chromium is not on this machine")
def test_browser_shows_what_evaluate_found(page: Page, tmp_path: Path) -> None:
    """The surest right answer, and the most doubtful one, of the best model that stands here.

    docs/app.png is this test's picture where the README's command under "Results" ran:
    ``pytest tests/test_app_server.py -k evaluate_found --basetemp=pictures``.
    """
    best = next(iter(json.loads((REPOSITORY / "reports/comparison.json").read_text())["models"]))
    if not (REPOSITORY / f"models/{best}.keras").is_file():
        pytest.skip("no model is trained in this clone; ./run trains some")
    metrics = json.loads((REPOSITORY / f"metrics/{best}.json").read_text())
    predictions = read_predictions(REPOSITORY / f"metrics/{best}/predictions-test.csv")
    names = [name.removeprefix("p_") for name in predictions if str(name).startswith("p_")]
    probabilities = predictions[[f"p_{name}" for name in names]].to_numpy()
    confidences = apply_temperature(probabilities, metrics["calibration"]["temperature"])
    highest = confidences.max(axis=1)
    surest = highest[predictions["label"] == predictions["predicted"]].max()
    shown = [int(np.argmax(highest == surest)), int(np.argmin(highest))]
    page.set_viewport_size({"width": 900, "height": 1130})

    with started(REPOSITORY, tmp_path / "app.log") as address:
        page.goto(address)
        files = [REPOSITORY / predictions["path"][row] for row in shown]
        page.locator("input[type=file]").set_input_files(files)

        for row in shown:
            said = in_words(confidences[row], names, metrics["calibration"]["threshold"])
            expect(page.get_by_role("heading", name=said)).to_be_visible()
        expect(page.get_by_role("img", name="orange where the model saw")).to_have_count(2)
        page.screenshot(path=tmp_path / "app.png")
