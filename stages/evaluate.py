"""Score the saved model on the image files of validation and test; nothing cached is trusted."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trashnet.classifier import classifier_file, load_classifier
from trashnet.dataset import IMAGES, read_splits
from trashnet.files import read_json, write_json
from trashnet.images import load_batches
from trashnet.metrics import (
    apply_temperature,
    choose_threshold,
    classification_metrics,
    count_sure,
    expected_calibration_error,
    fit_temperature,
    predictions_table,
    write_predictions,
)
from trashnet.networks import compile_inference
from trashnet.progress import progress_bar
from trashnet.stage import log, run_model_stage

BATCH_SIZE = 32


def main(model: str) -> None:
    """Write metrics/<model>.json, its predictions and the time they took."""
    started = time.perf_counter()
    folder = Path("metrics") / model
    splits = read_splits()
    training = read_json(folder / "training.json")
    classifier = load_classifier(classifier_file(model))
    run = compile_inference(classifier.model)
    predict = Stopwatch(lambda pixels: run(pixels)[0], (1, *classifier.image_size, 3))

    answers = {}
    for split in ("val", "test"):
        photos = splits[splits["split"] == split]
        files = [IMAGES / path for path in photos["path"]]
        probabilities = predict_files(predict, files, classifier.image_size)
        table = predictions_table(files, photos["label"], probabilities, classifier.class_names)
        write_predictions(folder / f"predictions-{split}.csv", table)
        answers[split] = Answers(photos["label"].tolist(), probabilities, classifier.class_names)

    scores = {split: classification_metrics(*of_split) for split, of_split in answers.items()}
    calibration = calibrate(answers["val"], answers["test"])
    write_json(f"metrics/{model}.json", merge(training, scores) | {"calibration": calibration})
    write_json(
        folder / "timing-evaluate.json",
        {
            "seconds": round(time.perf_counter() - started, 3),
            "milliseconds_per_image": round(1000 * predict.seconds / predict.images, 3),
        },
    )
    log(
        f"{model}: {scores['test']['accuracy']:.3f} of {len(answers['test'].labels)} test photos "
        f"right, {scores['val']['accuracy']:.3f} on validation"
    )


class Answers(NamedTuple):
    """What a model says of one split.

    Attributes
    ----------
    labels : list of str
        The right class of each photo.
    probabilities : float32 array, shape (photos, classes)
    class_names : list of str
        The class of each column.
    """

    labels: list[str]
    probabilities: np.ndarray
    class_names: list[str]

    def at_temperature(self, temperature: float) -> "Answers":
        """Return the same answers with calibrated probabilities."""
        return self._replace(probabilities=apply_temperature(self.probabilities, temperature))


class Stopwatch:
    """A predictor that sums up its own time, the first and slowest call apart."""

    def __init__(
        self, predict: Callable[[np.ndarray], np.ndarray], warm_up_shape: tuple[int, ...]
    ) -> None:
        self._predict = predict
        self.seconds = 0.0
        self.images = 0
        predict(np.zeros(warm_up_shape, np.uint8))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Predict a batch: uint8 pixels (n, height, width, 3) to probabilities (n, classes)."""
        started = time.perf_counter()
        probabilities = self._predict(pixels)
        self.seconds += time.perf_counter() - started
        self.images += len(pixels)
        return probabilities


def predict_files(
    predict: Callable[[np.ndarray], np.ndarray], files: list[Path], image_size: tuple[int, int]
) -> np.ndarray:
    """Return float32 probabilities, shape (files, classes), in the files' order."""
    probabilities = []
    with progress_bar(len(files), "predicting", "photo") as bar:
        for pixels in load_batches(files, image_size, BATCH_SIZE):
            probabilities.append(predict(pixels))
            bar.update(len(pixels))
    return np.concatenate(probabilities)


def calibrate(val: Answers, test: Answers) -> dict[str, Any]:
    """Fit temperature and threshold on validation alone; say on test what they bring.

    Whoever shows the model's confidence divides by this temperature first, and
    says "not sure" below the threshold. The predictions' files stay as they are.
    """
    temperature = fit_temperature(*val)
    threshold = choose_threshold(*val.at_temperature(temperature))
    calibrated = test.at_temperature(temperature)
    sure, sure_and_right = count_sure(*calibrated, threshold)
    return {
        "temperature": temperature,
        "threshold": threshold,
        "test": {
            "ece_before": expected_calibration_error(*test),
            "ece_after": expected_calibration_error(*calibrated),
            "sure": sure,
            "sure_and_right": sure_and_right,
        },
    }


def merge(training: dict[str, Any], scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Join what training and evaluation know of a model into its metrics."""
    return {
        "test": scores["test"],
        "val": training.get("val", {}) | scores["val"],
        "train": training["train"],
        "epochs": training["epochs"],
        "model": training["model"],
    }


if __name__ == "__main__":
    run_model_stage(main)
