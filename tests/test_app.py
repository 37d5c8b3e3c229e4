"""The app: what it answers, offers and says of bad input, in a real browser too."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest

from app.answers import ask, in_words
from trashnet.classifier import Classifier, assemble, build_head, save_classifier
from trashnet.gradcam import heat_map, lay_over
from trashnet.images import ImageError, load_pixels
from trashnet.metrics import apply_temperature
from trashnet.networks import Network

REPOSITORY = Path(__file__).parents[1]
APP = REPOSITORY / "app/main.py"
IMAGE_SIZE = (24, 32)
CLASSES = ["blue", "green", "red"]
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


def color_classifier() -> Classifier:
    """Return a model built as the pipeline builds them, that says which colour a photo has."""
    pixels = keras.Input((*IMAGE_SIZE, 3))
    trunk = keras.Model(pixels, keras.layers.AveragePooling2D(4)(pixels), name="trunk")
    cut = keras.Input(trunk.output_shape[1:])
    tail = keras.Model(cut, keras.layers.Rescaling(1 / 255)(cut), name="tail")
    head = build_head(np.random.default_rng(0).random((50, 3)), [], 0.0, 3)
    head.get_layer("logits").set_weights([np.eye(3)[::-1] * 4, np.zeros(3)])
    return Classifier(assemble(Network(trunk, tail), head), CLASSES)


def write_run(folder: Path) -> None:
    """Write what `dvc repro` leaves of a comparison of two models."""
    rows = {}
    for model, accuracy in {"MobileNetV2": 0.9, "MobileNet": 0.8}.items():
        save_classifier(color_classifier(), folder / f"models/{model}.keras")
        (folder / f"metrics/{model}").mkdir(parents=True)
        rows[model] = {
            "test_accuracy": accuracy,
            "test_accuracy_low": accuracy - 0.05,
            "test_accuracy_high": accuracy + 0.05,
        }
        calibration = {"temperature": 2.0, "threshold": 0.6, "test": {"ece_after": 0.03}}
        metrics = json.dumps({"calibration": calibration})
        (folder / f"metrics/{model}.json").write_text(metrics)
        table = pd.DataFrame(
            {
                "path": ["data/images/red/1.jpg", "data/images/blue/1.jpg"],
                "label": ["red", "blue"],
                "predicted": ["red", "green"],
                **{f"p_{name}": [0.2, 0.4] for name in CLASSES},
            }
        )
        table.to_csv(folder / f"metrics/{model}/predictions-test.csv", index=False)
        history = "epoch,phase,loss,accuracy,val_loss,val_accuracy\n1,initial,1,0.5,1,0.5\n"
        (folder / f"metrics/{model}/history.csv").write_text(history)
    (folder / "reports").mkdir()
    (folder / "reports/comparison.json").write_text(json.dumps({"models": rows}))


def photo_of(color: str, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def test_answer_is_that_of_evaluate(tmp_path: Path) -> None:
    """The same loader, the same model: the same probabilities, calibrated only for showing."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (90, 120, 3), np.uint8))
    noise.save(tmp_path / "photo.jpg")
    predict = color_classifier().predictor()

    answer = ask(predict, IMAGE_SIZE, 2.0, (tmp_path / "photo.jpg").read_bytes())

    expected = predict(load_pixels(tmp_path / "photo.jpg", IMAGE_SIZE)[None])
    np.testing.assert_array_equal(answer.probabilities, expected[0])
    np.testing.assert_allclose(answer.confidence, apply_temperature(expected, 2.0)[0])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"hello", "neither a JPEG nor a PNG"),
        (photo_of("red")[:60], "cannot be decoded"),
        (photo_of("red", (9000, 8000)), "million pixels; scale it down"),
    ],
)
def test_bad_photos_are_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        ask(color_classifier().predictor(), IMAGE_SIZE, 1.0, content)


def test_large_photos_are_shown_small() -> None:
    predict = color_classifier().predictor()

    answer = ask(predict, IMAGE_SIZE, 1.0, photo_of("red", (4000, 3000)))

    assert answer.photo.size == (640, 480)


def test_below_the_threshold_it_is_not_sure() -> None:
    confidence = np.array([0.3, 0.1, 0.6])

    assert in_words(confidence, CLASSES, 0.6) == "This is red (60% sure)."
    assert in_words(np.array([0.0, 0.0, 1.0]), CLASSES, 0.6) == "This is red (99% sure)."
    assert in_words(confidence, CLASSES, 0.61) == "Not sure. Perhaps red (60%), perhaps blue (30%)."


def test_heat_is_where_the_class_is() -> None:
    pixels = np.zeros((*IMAGE_SIZE, 3), np.uint8)
    pixels[:8, 24:, 0] = 255

    heat = heat_map(color_classifier(), pixels, CLASSES.index("red"))

    assert heat.shape == (6, 8)
    assert heat.max() == 1
    assert heat[:2, 6:].min() == 1
    assert heat[2:].max() == 0


def test_heat_map_colours_hot_places_alone() -> None:
    heat = np.zeros((2, 2))
    heat[0, 0] = 1
    laid = np.asarray(lay_over(Image.new("RGB", (40, 40), (0, 0, 90)), heat))

    assert laid[0, 0, 0] > 100
    assert laid[39, 39].tolist() == [0, 0, 90]


def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.chdir(folder)
    return AppTest.from_file(str(APP), default_timeout=60).run()


def test_before_training_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = start(tmp_path, monkeypatch)

    assert not page.exception
    assert "no model was trained here yet; run `dvc repro`" in page.error[0].value


def test_a_missing_model_file_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path)
    (tmp_path / "models/MobileNetV2.keras").unlink()

    page = start(tmp_path, monkeypatch)

    assert not page.exception
    assert "no model at models/MobileNetV2.keras" in page.error[0].value


def test_it_offers_the_models_of_the_comparison_with_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path)
    shutil.copy(tmp_path / "models/MobileNet.keras", tmp_path / "models/ResNet101V2.keras")

    page = start(tmp_path, monkeypatch)

    assert not page.exception
    assert page.selectbox[0].options == [
        "MobileNetV2: 90.0% of test photos right (85% to 95%)",
        "MobileNet: 80.0% of test photos right (75% to 85%)",
    ]


def test_it_walks_through_the_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)

    page = start(tmp_path, monkeypatch)

    assert "blue, taken for green" in [heading.value for heading in page.subheader]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the app on a run of two models."""
    write_run(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copytree(REPOSITORY / ".streamlit", tmp_path / ".streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    with subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def wait_for(port: int) -> None:
    for _ in range(120):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.5)
    pytest.fail(f"the app does not answer on port {port}")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: chromium is not on this machine")
@pytest.mark.parametrize("width", [1200, 390])
def test_a_person_asks_in_a_browser(width: int, address: str, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("SCREENSHOTS", tmp_path))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(address)

        upload(page, {"red.png": photo_of("red"), "broken.png": photo_of("red")[:60]})
        expect(page.get_by_role("heading", name="This is red")).to_be_visible(timeout=60_000)
        page.wait_for_function("document.querySelector('img')?.naturalWidth > 0")
        expect(page.get_by_text("broken.png: The file cannot be decoded")).to_be_visible()
        page.screenshot(path=pictures / f"answer-{width}.png", full_page=True)

        page.get_by_role("combobox").press("ArrowDown")
        page.get_by_role("option", name="MobileNet: 80.0%").click()
        page.get_by_role("tab", name="How good is it?").press("Enter")
        expect(page.get_by_text("75.0% to 85.0%")).to_be_visible(timeout=30_000)
        page.screenshot(path=pictures / f"quality-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()


def upload(page: Page, files: dict[str, bytes]) -> None:
    chooser = page.locator("input[type=file]").first
    chooser.wait_for(state="attached", timeout=60_000)
    payloads: list[FilePayload] = [
        {"name": name, "mimeType": "image/png", "buffer": content}
        for name, content in files.items()
    ]
    chooser.set_input_files(payloads)
