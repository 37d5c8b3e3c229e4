"""``python -m trashnet predict --model``: which model answers, and what if it cannot."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import keras
import pandas as pd
import pytest
from predict_work import CLASSES, IMAGE_SIZE, color_classifier, write_model_and_photos

from trashnet.__main__ import main
from trashnet.classifier import Classifier, save_classifier
from trashnet.exported import ExportedClassifier, save_exported
from trashnet.litert import convert

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder with a comparison of two models and photos of three colours."""
    monkeypatch.chdir(tmp_path)
    write_model_and_photos()


def test_best_is_the_first_of_the_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "photos/b.jpg", "--csv"])
    best = capsys.readouterr().out
    main(["predict", "photos/b.jpg", "--csv", "--model", "MobileNetV2"])
    assert capsys.readouterr().out == best


def test_a_model_can_be_a_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("reports/comparison.json").unlink()
    Path("models/MobileNetV2.keras").rename(tmp_path / "mine.keras")

    assert main(["predict", "photos/b.jpg", "--model", str(tmp_path / "mine.keras")]) == 0


def test_an_exported_model_gives_the_same_answers(capsys: pytest.CaptureFixture[str]) -> None:
    buffer = convert(color_classifier().model)
    save_exported(ExportedClassifier(buffer, "MobileNetV2", CLASSES, IMAGE_SIZE), Path("m.tflite"))

    main(["predict", "photos", "--csv"])
    in_keras = pd.read_csv(StringIO(capsys.readouterr().out))
    main(["predict", "photos", "--csv", "--model", "m.tflite"])
    exported = pd.read_csv(StringIO(capsys.readouterr().out))

    pd.testing.assert_frame_equal(exported, in_keras, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("photos/b.tflite", "There is no model at photos/b.tflite"),
        ("AlexNet", "has no model AlexNet; take best, MobileNetV2, MobileNet,"),
        ("MobileNet", "no model at models/MobileNet.keras"),
        ("photos/b.jpg", "is not a model that this pipeline saved"),
        ("code.keras", "is not a model that this pipeline saved"),
        ("a" * 300 + ".keras", "File name too long"),
    ],
)
def test_a_model_that_cannot_be_used_is_a_sentence(
    model: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = keras.Input((*IMAGE_SIZE, 3))
    with_code = keras.Model(source, keras.layers.Lambda(lambda pixels: pixels * 2)(source))
    save_classifier(Classifier(with_code, CLASSES), Path("code.keras"))

    assert main(["predict", "photos/b.jpg", "--model", model]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no model was trained here yet; run `dvc repro`"),
        ("{}", "names no model"),
        ('{"models": {}}', "names no model"),
    ],
)
def test_without_a_comparison_best_says_what_to_do(
    content: str | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        Path("reports/comparison.json").unlink()
    else:
        Path("reports/comparison.json").write_text(content)

    assert main(["predict", "photos/b.jpg"]) == 1

    assert sentence in capsys.readouterr().err


def test_missing_model_is_told_without_loading_tensorflow() -> None:
    program = (
        "import sys; from trashnet.__main__ import main; "
        "main(['predict', 'photo.jpg', '--model', 'nowhere.keras']); "
        "print('tensorflow' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    assert "There is no model at nowhere.keras" in told.stderr
    assert told.stdout == "False\n"


def test_want_of_memory_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.models, "load_model", Mock(side_effect=MemoryError))

    assert main(["predict", "photos"]) == 1
    assert capsys.readouterr().err == "trashnet: memory ran out; free some and retry.\n"
