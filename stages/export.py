"""Write the model for phones and bins, in float and in 8-bit integers, and score both."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trashnet.classifier import Classifier, classifier_file, load_classifier
from trashnet.dataset import IMAGES, read_splits
from trashnet.exported import (
    ExportedClassifier,
    float_file,
    int8_file,
    load_exported,
    save_exported,
)
from trashnet.files import write_json
from trashnet.images import load_batches
from trashnet.litert import convert, is_integer_only, quantize
from trashnet.metrics import DECIMALS, read_predictions
from trashnet.progress import progress_bar
from trashnet.stage import log, run_model_stage

Predictor = Callable[[np.ndarray], np.ndarray]

BATCH_SIZE = 32
CALIBRATION_PHOTOS = 120
TIMED_PHOTOS = 30
THREADS = (1, 2)


def main(model: str) -> None:
    """Write models/<model>.tflite, models/<model>-int8.tflite, their scores and their speed."""
    started = time.perf_counter()
    folder = Path("metrics") / model
    files = {"keras": classifier_file(model), "float": float_file(model), "int8": int8_file(model)}
    classifier = load_classifier(files["keras"])
    answers = read_predictions(folder / "predictions-test.csv")
    examples = read_examples(classifier)

    in_float = convert(classifier.model)
    exports = {
        "float": write_export(in_float, model, classifier, files["float"]),
        "int8": write_export(quantize(in_float, examples), model, classifier, files["int8"]),
    }

    photos = [Path(path) for path in answers["path"]]
    # Keras itself once more: on a processor, the answers of `evaluate` are LiteRT's already.
    predictors = {"keras": classifier.predictor()}
    predictors |= {name: exported.predictor() for name, exported in exports.items()}
    predicted = predict(predictors, photos, classifier)
    metrics = {name: score(predicted[name], answers, file) for name, file in files.items()}
    for name, exported in exports.items():
        agreement = float((predicted["keras"] == predicted[name]).mean())
        metrics[name]["agreement"] = round(agreement, DECIMALS)
        metrics[name]["integer_only"] = is_integer_only(exported.flat_buffer)

    write_json(folder / "export.json", metrics)
    write_json(
        folder / "timing-export.json",
        {
            "seconds": round(time.perf_counter() - started, 3),
            "milliseconds_per_image": {
                name: time_threads(exported, examples) for name, exported in exports.items()
            },
        },
    )
    log(
        f"{model}: {metrics['keras']['accuracy']:.3f} of {len(photos)} test photos right in Keras, "
        f"{metrics['float']['accuracy']:.3f} in float, {metrics['int8']['accuracy']:.3f} in int8 "
        f"({metrics['int8']['bytes'] / 1e6:.1f} MB)"
    )


def read_examples(classifier: Classifier) -> np.ndarray:
    """Read the photos of `calibration_photos`: uint8, shape (photos, height, width, 3)."""
    chosen = [IMAGES / path for path in calibration_photos(read_splits())["path"]]
    return np.concatenate(list(load_batches(chosen, classifier.image_size, BATCH_SIZE)))


def calibration_photos(splits: pd.DataFrame) -> pd.DataFrame:
    """Choose the training photos that set the ranges of the integer model.

    Parameters
    ----------
    splits : DataFrame
        As from `read_splits`.

    Returns
    -------
    DataFrame
        The rows chosen: equally many of each class, or all of it where it is
        smaller, evenly spaced in their order; `CALIBRATION_PHOTOS`, rounded up
        to a multiple of the classes, or fewer.
    """
    training = splits[splits["split"] == "train"]
    share = math.ceil(CALIBRATION_PHOTOS / training["label"].nunique())
    return pd.concat(
        photos.iloc[np.linspace(0, len(photos) - 1, min(share, len(photos))).astype(int)]
        for _, photos in training.groupby("label")
    )


def write_export(
    flat_buffer: bytes, model: str, classifier: Classifier, file: Path
) -> ExportedClassifier:
    """Write a LiteRT model beside what the classifier knows; return what a user would load."""
    exported = ExportedClassifier(flat_buffer, model, classifier.class_names, classifier.image_size)
    save_exported(exported, file)
    return load_exported(file)


def predict(
    predictors: dict[str, Predictor], photos: list[Path], classifier: Classifier
) -> dict[str, np.ndarray]:
    """Return the class that each predictor names for each photo, in the photos' order."""
    class_names = np.asarray(classifier.class_names)
    predicted: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    with progress_bar(len(photos), "predicting", "photo") as bar:
        for pixels in load_batches(photos, classifier.image_size, BATCH_SIZE):
            for name, predictor in predictors.items():
                predicted[name].append(class_names[predictor(pixels).argmax(axis=1)])
            bar.update(len(pixels))
    return {name: np.concatenate(batches) for name, batches in predicted.items()}


def score(predicted: np.ndarray, answers: pd.DataFrame, file: Path) -> dict[str, Any]:
    """Return a model's accuracy, in [0, 1], and the size of its file in bytes.

    Parameters
    ----------
    predicted : array of str
        The class that the model names for each photo of `answers`.
    answers : DataFrame
        As from `read_predictions`.
    file : Path
        The model.
    """
    return {
        "accuracy": round(float((answers["label"] == predicted).mean()), DECIMALS),
        "bytes": file.stat().st_size,
    }


def time_threads(exported: ExportedClassifier, photos: np.ndarray) -> dict[str, float]:
    """Return the milliseconds that one photo takes with each number of `THREADS`."""
    return {
        f"threads_{threads}": milliseconds(exported.predictor(threads), photos)
        for threads in THREADS
    }


def milliseconds(predictor: Predictor, photos: np.ndarray) -> float:
    """Return the median time for one photo, over the first `TIMED_PHOTOS`, after a warm-up."""
    predictor(photos[:1])
    seconds = []
    for position in range(min(TIMED_PHOTOS, len(photos))):
        started = time.perf_counter()
        predictor(photos[position : position + 1])
        seconds.append(time.perf_counter() - started)
    return round(1000 * float(np.median(seconds)), 3)


if __name__ == "__main__":
    run_model_stage(main)
