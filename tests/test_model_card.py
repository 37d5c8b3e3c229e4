"""The model card: what it says is what the run's files say."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trashnet.metrics import classification_metrics, predictions_table
from trashnet.model_card import Subject, write_card
from trashnet.params import Params, load_params

PARAMS = Path(__file__).parents[1] / "params.yaml"
CLASSES = ["glass", "metal", "paper"]
LABELS = ["glass"] * 5 + ["metal"] * 4 + ["paper"]
FILES = ["glass/1.jpg", "glass/2.jpg", "metal/1.jpg"]
NAMED = ["glass"] * 3 + ["paper", "metal"] + ["glass"] * 2 + ["metal"] * 2 + ["paper"]
SURE = [0.9, 0.9, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
COUNTS = {"train": 30, "val": 6, "test": 10, "dropped": 2}


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test where the manifest and the splits are short files."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/manifest.csv").write_text("the manifest")
    Path("data/splits.csv").write_text("the splits")


def subject(rivals: int = 6) -> Subject:
    probabilities = pd.DataFrame(
        [
            [sure if label == named else (1 - sure) / 2 for label in CLASSES]
            for sure, named in zip(SURE, NAMED, strict=True)
        ]
    ).to_numpy()
    files = [Path(f"data/images/{photo}.jpg") for photo in range(10)]
    scores = classification_metrics(LABELS, probabilities, CLASSES)
    calibration = {"ece_before": 0.1234, "ece_after": 0.0567, "sure": 8, "sure_and_right": 5}
    metrics: dict[str, Any] = {
        "test": scores,
        "val": scores | {"accuracy": 0.777},
        "model": {"parameters": 1234567},
        "calibration": {"temperature": 1.0, "threshold": 0.5, "test": calibration},
    }
    training = {
        "kept": {"phase": "fine_tune", "epoch": 9},
        "files": [{"path": "models/MobileNet.keras", "sha256": "ab" * 32}],
    }
    predictions = predictions_table(files, LABELS, probabilities, CLASSES)
    return Subject("MobileNet", metrics, training, predictions, rivals)


def card(params: Params | None = None, rivals: int = 6, of: Subject | None = None) -> str:
    manifest = pd.DataFrame(
        {
            "path": FILES,
            "status": ["ok", "ok", "unreadable"],
            "sha256": ["1" * 64, "2" * 64, "3" * 64],
            "width": [512, 64, None],
            "height": [384, 384, None],
        }
    ).astype({"width": "Int64", "height": "Int64"})
    counts = {"method": "stratified", "photos": COUNTS, "classes": {"glass": COUNTS}}
    return write_card(of or subject(rivals), params or load_params(PARAMS), counts, manifest)


def test_recall_and_its_interval_come_from_the_predictions() -> None:
    assert "| glass | 5 | 0.600 [0.231, 0.882] |" in card()
    assert "| metal | 4 | 0.500 [0.150, 0.850] |" in card()
    assert "| paper | 1 | 1.000 [0.207, 1.000] |" in card()


def test_accuracy_is_that_of_the_test_photos_beside_validation() -> None:
    assert "| Accuracy | 0.600 [0.313, 0.832] | 0.777 |" in card()


def test_confusions_are_counted_the_most_frequent_first() -> None:
    section = card().split("## What it confuses")[1].split("##")[0]
    pairs = [line for line in section.splitlines() if " of " in line]
    assert pairs == [
        "| metal | glass | 2 of 4 |",
        "| glass | metal | 1 of 5 |",
        "| glass | paper | 1 of 5 |",
    ]


def test_unsure_answers_are_counted() -> None:
    assert '"not sure": on 2 of 10 test photos. Of the 8 others 0.625 [' in card()
    assert "is 0.123 before that and 0.057 after it" in card()


def test_where_no_answer_is_sure_none_is_called_right() -> None:
    unsure = subject()
    unsure.metrics["calibration"]["test"] |= {"sure": 0, "sure_and_right": 0}

    said = card(of=unsure)

    assert '"not sure": on 10 of 10 test photos.' in said
    assert "others" not in said.split("not sure")[1].split("##")[0]


def test_hashes_are_those_of_the_files() -> None:
    for name in ("manifest", "splits"):
        digest = hashlib.sha256(f"the {name}".encode()).hexdigest()
        assert f"| data/{name}.csv | {digest} |" in card()
    lines = [f"{number * 64}  {path}\n" for number, path in zip("123", FILES, strict=True)]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() in card()
    assert f"| SHA-256 of the file | {'ab' * 32} |" in card()


def test_sizes_and_what_was_left_out_come_from_the_manifest() -> None:
    assert "64 to 512 pixels wide and 384 high" in card()
    assert "Left out of 3 files: 3, for the reasons" in card()


def test_a_model_without_rivals_is_not_called_the_best() -> None:
    assert "It is the only model that was trained." in card(rivals=0)
    assert "the best on validation" not in card(rivals=0)


def test_a_licence_that_nobody_stated_is_said_to_be_missing() -> None:
    params = load_params(PARAMS)
    silent = params.data.model_copy(update={"license": None, "pretrained": "gs://bucket/weights"})
    params = params.model_copy(update={"datasets": {"sample": silent}})
    assert "Photos: not stated in params.yaml (datasets.sample.license)." in card(params)
    assert "whatever holds for the files in gs://bucket/weights" in card(params)


def test_what_signs_an_address_is_not_published() -> None:
    params = load_params(PARAMS)
    signed = {
        "urls": ["https://me:secret@store.example/set%201.zip?sig=secret#secret", "gs://b/a?b.zip"],
        "pretrained": "https://store.example/weights?sig=secret",
    }
    private = params.data.model_copy(update=signed)

    page = card(params.model_copy(update={"datasets": {"sample": private}}))

    assert "from https://store.example/set%201.zip or gs://b/a?b.zip," in page
    assert "the files in https://store.example/weights" in page
    assert "secret" not in page


def test_card_of_an_ensemble_names_its_members() -> None:
    training = subject().training | {"members": ["MobileNet", "MobileNetV2"]}
    del training["kept"]

    page = card(of=subject()._replace(name="Pair", training=training))

    assert "| Answers with | the mean of MobileNet and MobileNetV2 |" in page
    assert "keras.applications.Pair" not in page


def test_names_of_classes_are_no_markup() -> None:
    of = subject()
    odd = of.predictions.replace({"label": {CLASSES[0]: "<b>a_b|c"}})

    written = card(of=of._replace(predictions=odd))

    assert r"| \<b\>a\_b\|c |" in written
    assert "<b>" not in written
