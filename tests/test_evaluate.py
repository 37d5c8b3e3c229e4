"""Evaluation: what is fitted on validation stays fitted on validation."""

from itertools import count
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import stages.evaluate
from stages.evaluate import Answers, Stopwatch, calibrate, merge
from trashnet.classifier import Classifier, classifier_file, save_classifier
from trashnet.dataset import IMAGES, SPLITS
from trashnet.files import read_json, write_json
from trashnet.metrics import read_predictions

CLASSES = ["glass", "paper"]


def answers(right: int, wrong: int, confidence: float) -> Answers:
    """Return answers of one confidence, so many right and so many wrong."""
    labels = ["glass"] * right + ["paper"] * wrong
    probabilities = np.tile(np.array([confidence, 1 - confidence], np.float32), (len(labels), 1))
    return Answers(labels, probabilities, CLASSES)


def test_calibration_is_fitted_on_validation_alone() -> None:
    val = answers(right=80, wrong=20, confidence=0.99)

    one = calibrate(val, answers(right=10, wrong=0, confidence=0.6))
    other = calibrate(val, answers(right=0, wrong=10, confidence=0.9))

    assert (one["temperature"], one["threshold"]) == (other["temperature"], other["threshold"])
    assert one["test"] != other["test"]


def test_overconfident_answers_are_brought_down_to_their_accuracy() -> None:
    split = answers(right=80, wrong=20, confidence=0.99)

    calibration = calibrate(split, split)

    assert calibration["temperature"] > 1
    assert calibration["test"]["ece_before"] > 0.15
    assert calibration["test"]["ece_after"] < 0.01
    assert calibration["threshold"] == 1
    assert calibration["test"]["sure"] == 0


def test_threshold_is_one_of_calibrated_confidence() -> None:
    probabilities = np.repeat([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]], [20, 20, 5], axis=0)
    val = Answers(["glass"] * 40 + ["paper"] * 5, probabilities, CLASSES)

    found = calibrate(val, val)

    calibrated = val.at_temperature(found["temperature"]).probabilities
    assert found["threshold"] == pytest.approx(calibrated[20].max(), abs=2e-6)
    assert found["threshold"] != pytest.approx(0.7, abs=1e-3)


def test_metrics_keep_the_training_runs_own_validation_value() -> None:
    training = {"val": {"best_accuracy": 0.9}, "train": {}, "epochs": {}, "model": {}}
    scores = {"val": {"accuracy": 0.8}, "test": {"accuracy": 0.7}}

    merged = merge(training, scores)

    assert merged["val"] == {"best_accuracy": 0.9, "accuracy": 0.8}
    assert merged["test"] == {"accuracy": 0.7}


def test_stopwatch_counts_all_but_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.evaluate.time.perf_counter", count().__next__)
    calls = []

    def model(pixels: np.ndarray) -> np.ndarray:
        calls.append(len(pixels))
        return pixels

    predict = Stopwatch(model, warm_up_shape=(1, 2, 2, 3))

    predict(np.zeros((5, 2, 2, 3), np.uint8))

    assert calls == [1, 5]
    assert (predict.images, predict.seconds) == (5, 1)


def test_sure_answers_are_counted_by_calibrated_confidence() -> None:
    probabilities = np.repeat([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]], [20, 20, 5], axis=0)
    split = Answers(["glass"] * 40 + ["paper"] * 5, probabilities, CLASSES)

    found = calibrate(split, split)

    assert found["test"]["sure"] == found["test"]["sure_and_right"] == 40


def test_evaluation_calibrates_on_validation_and_tells_the_time_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.evaluate.time.perf_counter", count().__next__)
    random = np.random.default_rng(0)
    labels = np.resize(CLASSES, 20)
    photos = pd.DataFrame({"path": [f"{i}.png" for i in range(20)], "label": labels})
    photos["split"] = ["val"] * 8 + ["test"] * 12
    IMAGES.mkdir(parents=True)
    for path in photos["path"]:
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(IMAGES / path)
    photos.to_csv(SPLITS, index=False)
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    save_classifier(Classifier(model, CLASSES), classifier_file("Net"))
    write_json("metrics/Net/training.json", {"train": {}, "epochs": {}, "model": {}})

    stages.evaluate.main("Net")

    answers = []
    for split in ("val", "test"):
        table = read_predictions(f"metrics/Net/predictions-{split}.csv")
        probabilities = table[["p_glass", "p_paper"]].to_numpy(np.float32)
        answers.append(Answers(table["label"].tolist(), probabilities, CLASSES))
    metrics = read_json("metrics/Net.json")
    found, expected = metrics["calibration"], calibrate(*answers)
    assert found["temperature"] == pytest.approx(expected["temperature"], rel=1e-3)
    timing = read_json("metrics/Net/timing-evaluate.json")
    assert timing["milliseconds_per_image"] == 100  # two batches of a second each
