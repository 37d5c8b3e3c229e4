"""The app: what it answers, what it offers, and what a person sees when something is wrong."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from threading import Event
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import keras
import numpy as np
import pandas as pd
import pytest
import streamlit as st
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from starlette.formparsers import MultiPartParser
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest

from app.answers import ask, in_words, percent, rule_in_words
from app.markup import bars, confusion_table, plain
from app.models import _version
from app.results import confusion, mistakes
from trashnet.classifier import Classifier, assemble, load_classifier, save_classifier
from trashnet.files import write_json
from trashnet.images import load_batches
from trashnet.metrics import (
    apply_temperature,
    predictions_table,
    read_predictions,
    write_predictions,
)
from trashnet.networks import Network

REPOSITORY = Path(__file__).parents[1]
APP = REPOSITORY / "app" / "main.py"
IMAGE_SIZE = (12, 16)
CLASSES = ["blue_bin", "<green>", "red"]
CALIBRATION = {
    "temperature": 2.0,
    "threshold": 0.6,
    "test": {"ece_before": 0.04, "ece_after": 0.03},
}
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


def color_classifier(sharpness: float) -> Classifier:
    """Return a model, of a trunk, tail and head, that says which colour a photo mostly has."""
    pixels = keras.Input((*IMAGE_SIZE, 3))
    trunk = keras.Model(pixels, keras.layers.Rescaling(sharpness / 255)(pixels), name="trunk")
    activations = keras.Input((*IMAGE_SIZE, 3))
    tail = keras.Model(activations, keras.layers.ReLU()(activations), name="tail")
    pooled = keras.Input((3,))
    logits = keras.layers.Dense(3, use_bias=False)
    head = keras.Model(pooled, logits(pooled), name="head")
    logits.set_weights([np.eye(3)[::-1]])
    return Classifier(assemble(Network(trunk, tail), head), CLASSES)


def photo(color: str, size: tuple[int, int] = (40, 30)) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, color).save(content, "PNG")
    return content.getvalue()


def write_results(model: str, classifier: Classifier) -> None:
    """Write what `train` and `evaluate` write of a model, on the photos in data/images."""
    save_classifier(classifier, Path(f"models/{model}.keras"))
    write_json(f"metrics/{model}.json", {"calibration": CALIBRATION})
    paths = sorted(Path("data/images").rglob("*.png"))
    (pixels,) = load_batches(paths, IMAGE_SIZE, 32)
    labels = [path.parent.name for path in paths]
    table = predictions_table(paths, labels, classifier.predictor()(pixels), CLASSES)
    Path("metrics", model).mkdir()
    write_predictions(f"metrics/{model}/predictions-test.csv", table)
    write_json(f"metrics/{model}/training.json", {})
    Path(f"metrics/{model}/history.csv").write_text(
        "epoch,phase,loss,accuracy,val_loss,val_accuracy\n"
        "1,initial,1.0,0.5,1.1,0.4\n2,initial,0.6,0.7,0.8,0.6\n3,fine_tune,0.4,0.8,0.6,0.7\n"
    )


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder with a comparison of two models; a third is left from an earlier run."""
    monkeypatch.chdir(tmp_path)
    shown = {"blue_bin": ["blue", "teal"], "<green>": ["lime"], "red": ["red", "navy", "maroon"]}
    for label, colors in shown.items():
        Path("data/images", label).mkdir(parents=True)
        for color in colors:
            Path("data/images", label, f"{color}.png").write_bytes(photo(color))
    for model, sharpness in {"MobileNetV2": 10, "MobileNet": 4, "ResNet101V2": 1}.items():
        write_results(model, color_classifier(sharpness))
    score = {"test_accuracy": 0.833333, "test_accuracy_low": 0.41, "test_accuracy_high": 0.97}
    write_json("reports/comparison.json", {"models": {"MobileNetV2": score, "MobileNet": score}})
    return tmp_path


def run_app(tab: str = "Ask") -> AppTest:
    st.cache_resource.clear()
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["tab"] = tab
    return app.run()


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    app.file_uploader[0].upload(name, content, "image/png")
    return app.run()


def errors(app: AppTest) -> list[str]:
    """Return the sentences as people read them, after looking for stack traces."""
    assert not app.exception
    return [re.sub(r"\\(.)", r"\1", error.value) for error in app.error]


def test_without_a_trained_model_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    (sentence,) = errors(run_app())

    assert sentence == (
        "There is no reports/comparison.json, so no model was trained here yet; run `dvc repro`."
    )


@pytest.mark.parametrize(
    ("missing", "tab", "expected"),
    [
        ("models/MobileNetV2.keras", "Ask", "no model at models/MobileNetV2.keras; train it"),
        ("metrics/MobileNetV2.json", "Ask", "MobileNetV2.json is missing or damaged; run"),
        ("metrics/MobileNetV2/history.csv", "How good is it?", "history.csv is missing"),
        ("metrics/MobileNetV2/predictions-test.csv", "Its mistakes", "test.csv is missing; run"),
        ("data/images", "Its mistakes", "is not here; `dvc pull`"),
    ],
)
def test_what_is_missing_is_named(trained: Path, missing: str, tab: str, expected: str) -> None:
    gone = trained / missing
    gone.rename(trained / "elsewhere")

    (sentence,) = errors(run_app(tab))

    assert expected in sentence


def test_metrics_of_a_version_without_calibration_are_told(trained: Path) -> None:
    write_json("metrics/MobileNetV2.json", {"test": {}})

    (sentence,) = errors(run_app())

    assert sentence.endswith("has no calibration; run `dvc repro evaluate@MobileNetV2`.")


def test_picker_lists_the_models_of_the_comparison_only(trained: Path) -> None:
    app = run_app()

    assert app.selectbox[0].options == [
        "MobileNetV2: 83.3% right [41 to 97%]",
        "MobileNet: 83.3% right [41 to 97%]",
    ]


def test_answer_of_every_test_photo_is_that_of_evaluate(trained: Path) -> None:
    classifier = load_classifier(Path("models/MobileNetV2.keras"))
    predict = classifier.predictor()
    predictions = read_predictions("metrics/MobileNetV2/predictions-test.csv")

    for _, row in predictions.iterrows():
        answer = ask(predict, classifier.image_size, 2.0, Path(row["path"]).read_bytes())

        assert CLASSES[int(answer.confidence.argmax())] == row["predicted"]
        expected = [row[f"p_{name}"] for name in CLASSES]
        assert answer.probabilities == pytest.approx(expected, abs=1e-6)


def test_photo_is_answered_in_words_with_its_calibrated_probability(trained: Path) -> None:
    app = upload(run_app(), "mine.png", photo("blue"))

    # Logits 10, 0, 0 at temperature 2.
    sure = np.exp(5) / (np.exp(5) + 2)
    assert not errors(app)
    assert app.subheader[0].value == plain(f"This is blue_bin ({sure:.0%} sure).")
    assert app.caption[0].value == plain("Before calibration: blue_bin 100.0%.")


def test_photo_between_two_classes_is_not_sure(trained: Path) -> None:
    app = upload(run_app(), "mine.png", photo("yellow"))

    assert app.subheader[0].value.startswith("Not sure\\. Perhaps \\<green\\>")


def test_another_model_answers_the_same_photo(trained: Path) -> None:
    app = upload(run_app(), "mine.png", photo("blue"))
    before = app.subheader[0].value

    app.selectbox[0].select("MobileNet").run()

    sure = np.exp(2) / (np.exp(2) + 2)
    assert not errors(app)
    assert app.subheader[0].value == plain(f"This is blue_bin ({sure:.0%} sure).") != before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"hello", "is neither a JPEG nor a PNG image", id="text"),
        pytest.param(b"", "is neither a JPEG nor a PNG image", id="empty"),
        pytest.param(photo("red")[:60], "cannot be decoded in full", id="cut short"),
        pytest.param(photo("red", (8001, 8000)), "has more than 64 million pixels", id="huge"),
    ],
)
def test_bad_photo_is_told_and_the_others_are_answered(
    trained: Path, content: bytes, expected: str
) -> None:
    app = run_app()
    app.file_uploader[0].upload("holiday_1.jpg", content).upload("mine.png", photo("red"))
    app.run()

    (sentence,) = errors(app)
    assert sentence.startswith("holiday_1.jpg: The file ")
    assert expected in sentence
    assert [heading.value[:11] for heading in app.subheader] == ["This is red"]


def test_photo_of_fifty_megapixels_is_answered(trained: Path) -> None:
    app = upload(run_app(), "large.png", photo("red", (8660, 5774)))

    assert not errors(app)
    assert app.subheader[0].value.startswith("This is red")


def test_large_photo_is_shown_small() -> None:
    answer = ask(color_classifier(1).predictor(), IMAGE_SIZE, 1.0, photo("red", (4000, 3000)))

    assert answer.photo.size == (640, 480)


def test_model_that_was_trained_again_answers_anew(trained: Path) -> None:
    app = upload(run_app(), "mine.png", photo("blue"))
    before = app.subheader[0].value

    save_classifier(color_classifier(3), Path("models/MobileNetV2.keras"))
    os.utime("models/MobileNetV2.keras", ns=(1, 1))
    app.run()

    assert app.subheader[0].value != before


def test_model_that_comes_and_goes_is_there_or_not(trained: Path) -> None:
    """`dvc repro` takes a model away before it trains it again."""
    model, aside = Path("models/MobileNet.keras"), Path("models/aside")
    versions = {model.stat().st_mtime_ns, 0}
    done = Event()

    def come_and_go() -> None:
        while not done.is_set():
            model.rename(aside)
            aside.rename(model)

    with ThreadPoolExecutor(1) as pipeline:
        pipeline.submit(come_and_go)
        try:
            seen = {_version("MobileNet") for _ in range(20_000)}
        finally:
            done.set()

    assert seen == versions


def test_quality_comes_from_the_metrics(trained: Path) -> None:
    app = run_app("How good is it?")

    assert not errors(app)
    assert [metric.value for metric in app.metric] == ["83.3%", "3.0%"]
    assert app.caption[0].value.startswith("Right on 41.0 to 97.0% of photos like the 6 test")
    (table,) = (html.value for html in app.html if "<table" in html.value)
    assert re.findall(r">(\d)</td>", table) == ["2", "1", "1", "2"]


def test_an_ensemble_learned_what_its_members_did(trained: Path) -> None:
    write_json("metrics/MobileNetV2/training.json", {"members": ["MobileNet", "ResNet101V2"]})
    Path("metrics/MobileNetV2/history.csv").unlink()

    app = run_app("How good is it?")

    assert not errors(app)
    assert "the mean of MobileNet and ResNet101V2" in str([text.value for text in app.markdown])
    assert len(app.get("vega_lite_chart")) == 4


def test_address_of_no_tab_shows_the_first(trained: Path) -> None:
    app = upload(run_app("nonsense"), "mine.png", photo("red"))

    assert not errors(app)
    assert app.subheader[0].value.startswith("This is red")


def test_mistakes_are_shown_one_by_one(trained: Path) -> None:
    app = run_app("Its mistakes")
    assert not errors(app)
    assert app.markdown[0].value == "1 of 6 test photos, the surest mistake first."
    assert app.subheader[0].value == plain("This is red, taken for blue_bin.")


def test_uploads_are_limited_and_stay_in_memory(trained: Path) -> None:
    before = sorted(trained.rglob("*"))

    upload(run_app(), "mine.png", photo("blue"))

    limit = st.get_option("server.maxUploadSize")
    assert MultiPartParser.spool_max_size == limit * 2**20
    assert sorted(trained.rglob("*")) == before


def test_name_that_looks_like_a_path_is_only_a_name(trained: Path) -> None:
    before = sorted(trained.rglob("*"))

    app = upload(run_app(), "../../etc/<b>passwd</b>.png", photo("red"))

    assert not errors(app)
    assert sorted(trained.rglob("*")) == before


def test_twenty_people_at_once_each_get_their_own_answer(trained: Path) -> None:
    photos = [photo("red", size=(40 + number, 30)) for number in range(10)]
    photos += [photo("blue", size=(40, 30 + number)) for number in range(10)]

    # All pages of one server share the model that is loaded once.
    predict = load_classifier(Path("models/MobileNetV2.keras")).predictor()

    def ask_for(content: bytes) -> list[float]:
        return list(ask(predict, IMAGE_SIZE, 1.0, content).confidence)

    alone = [ask_for(photo("red")), ask_for(photo("blue"))]
    with ThreadPoolExecutor(20) as people:
        answers = list(people.map(ask_for, photos))

    assert alone[0] != alone[1]
    assert answers == [alone[0]] * 10 + [alone[1]] * 10


@pytest.mark.parametrize(
    ("confidence", "threshold", "expected"),
    [
        ([0.2, 0.1, 0.7], 0.7, "This is red (70% sure)."),
        ([0.2, 0.1, 0.7], 0.71, "Not sure. Perhaps red (70%), perhaps blue_bin (20%)."),
        ([0.0, 0.0, 1.0], 1.0, "This is red (over 99% sure)."),
    ],
)
def test_threshold_belongs_to_the_sure_answers(
    confidence: list[float], threshold: float, expected: str
) -> None:
    assert in_words(np.array(confidence), CLASSES, threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, "Every photo is answered"), (0.612, "Below 61%"), (1.0, "Hardly any photo")],
)
def test_rule_is_stated(threshold: float, expected: str) -> None:
    assert rule_in_words(threshold).startswith(expected)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, "over 99%"), (0.99, "99%"), (0.5, "50%"), (0.01, "1%"), (0.0, "under 1%")],
)
def test_percentage_never_claims_certainty(share: float, expected: str) -> None:
    assert percent(share) == expected


def test_markup_escapes_names() -> None:
    counts = pd.DataFrame([[3, 0], [1, 2]], ["<a>", "b"], ["<a>", "b"])

    assert plain("a_b*") == r"a\_b\*"
    markup = bars(["<a>", "b"], np.array([0.5, 0.5])) + confusion_table(counts)
    assert "<a>" not in markup
    assert markup.count("&lt;a&gt;") == 3


def test_confusion_has_a_column_for_a_class_that_is_never_predicted() -> None:
    predictions = pd.DataFrame(
        {"label": ["b", "a"], "predicted": ["a", "a"], "p_a": [0.6, 0.7], "p_b": [0.4, 0.3]}
    )

    assert confusion(predictions).to_numpy().tolist() == [[1, 0], [1, 0]]


def test_surest_mistake_comes_first() -> None:
    predictions = pd.DataFrame(
        {
            "path": ["x", "y", "z"],
            "label": ["b", "a", "b"],
            "predicted": ["a", "a", "a"],
            "p_a": [0.6, 0.7, 0.9],
            "p_b": [0.4, 0.3, 0.1],
        }
    )

    assert mistakes(predictions)["path"].tolist() == ["z", "x"]


@pytest.fixture
def address(trained: Path) -> Iterator[str]:
    """Start the app as people do; yield where it is."""
    (trained / ".streamlit").symlink_to(REPOSITORY / ".streamlit")
    with started(trained, trained / "app.log") as url:
        yield url


@contextmanager
def started(folder: Path, said: Path) -> Iterator[str]:
    """Start the app in a folder and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
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
    address: str, trained: Path
) -> None:
    before = sorted(trained.parent.rglob("*"))

    statuses = asyncio.run(visit(address))

    assert statuses == {
        "too large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "no form": HTTPStatus.BAD_REQUEST,
        "a path": HTTPStatus.NO_CONTENT,
        "no page": HTTPStatus.BAD_REQUEST,
        "no token": HTTPStatus.FORBIDDEN,
        "twenty at once": {HTTPStatus.NO_CONTENT},
    }
    assert sorted(trained.parent.rglob("*")) == before


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

    files.set_input_files({"name": "b.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    expect(page.get_by_text("b.jpg: The file is neither a JPEG nor a PNG")).to_be_visible()
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
    ``pytest tests/test_app.py -k evaluate_found --basetemp=pictures``.
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
