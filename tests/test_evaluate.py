"""Evaluation: what is fitted on validation stays fitted on validation."""

from itertools import count

import numpy as np
import pytest

from stages.evaluate import Answers, Stopwatch, calibrate, merge

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
