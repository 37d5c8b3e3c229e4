"""The app: what it answers, what it offers, and what a person sees when something is wrong."""

import asyncio
import re
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from app_work import CLASSES, IMAGE_SIZE, color_classifier, errors, photo, run_app, upload
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartParser

from app.answers import ask
from app.markup import plain
from trashnet.classifier import load_classifier
from trashnet.files import write_json
from trashnet.metrics import read_predictions, write_predictions


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
        ("metrics/MobileNetV2.json", "Ask", "MobileNetV2.json is missing; run"),
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
        "MobileNetV2: 83.3% right [44 to 97%]",
        "MobileNet: 83.3% right [44 to 97%]",
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
    assert app.caption[0].value == plain(
        "The model's own figure, before it is corrected: blue_bin over 99%."
    )


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
        pytest.param(photo("red", (8751, 8000)), "has more than 70 million pixels", id="huge"),
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


def test_each_photo_gets_its_own_answer_and_picture(trained: Path) -> None:
    app = run_app()
    app.file_uploader[0].upload("a.png", photo("blue")).upload("b.png", photo("navy"))
    app.run()

    one, other = (heading.value for heading in app.subheader)
    assert one.startswith("This is blue")
    assert other.startswith("This is blue")
    assert one != other
    addresses = {image.proto.imgs[0].url for image in app.get("image")}
    assert len(addresses) == 2


def test_quality_comes_from_the_metrics(trained: Path) -> None:
    app = run_app("How good is it?")

    assert not errors(app)
    assert [metric.value for metric in app.metric] == ["83.3%", "3.0%"]
    assert app.caption[0].value.startswith("Right on 43.6 to 97.0% of photos like the 6 test")
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


def test_mistakes_can_be_walked_through(trained: Path) -> None:
    file = Path("metrics/MobileNetV2/predictions-test.csv")
    predictions = read_predictions(file)
    predictions.loc[predictions["label"] == "<green>", "predicted"] = "red"
    write_predictions(file, predictions)
    app = run_app("Its mistakes")
    first = app.subheader[0].value

    app.get("pagination")[0].set_value(2).run()  # type: ignore[union-attr]

    assert not errors(app)
    assert {first, app.subheader[0].value} == {
        plain("This is red, taken for blue_bin."),
        plain("This is <green>, taken for red."),
    }


def test_only_so_many_photos_are_answered_at_a_time(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.models.MAX_PHOTOS", 2)
    app = run_app()
    for number in range(3):
        app.file_uploader[0].upload(f"{number}.png", photo("red", (40 + number, 30)), "image/png")

    app.run()

    assert len(app.subheader) == 2
    assert app.warning[0].value.startswith("The first 2 of 3")


def test_uploads_are_limited_and_stay_in_memory(trained: Path) -> None:
    """A file on the disk would have no name, so only its own object can tell."""
    run_app()
    limit = st.get_option("server.maxUploadSize")
    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def body() -> AsyncGenerator[bytes, None]:
        yield head + bytes(2_000_000) + b"\r\n--x--\r\n"

    form = asyncio.run(MultiPartParser(headers, body()).parse())

    assert MultiPartParser.spool_max_size == limit * 2**20
    uploaded = form["file"]
    assert isinstance(uploaded, UploadFile)
    assert uploaded._in_memory


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
