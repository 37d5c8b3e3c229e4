"""Models for the tests of their comparison, and the report that comes of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from params_work import write_params

from trashnet.files import write_json, write_text
from trashnet.metrics import classification_metrics, predictions_table, write_predictions

CLASSES = ["glass", "paper"]
PHOTOS = 100

SetModels = Callable[..., None]


def write_split() -> None:
    """Write what the stages before `evaluate` write of the photos."""
    write_json(
        "metrics/split.json",
        {
            "method": "stratified",
            "photos": {"train": 500, "val": 100, "test": PHOTOS, "dropped": 0},
            "classes": {label: {"train": 250, "val": 50, "test": 50} for label in CLASSES},
        },
    )
    columns = "path,label,status,reason,sha256,phash,group,width,height,size_bytes"
    write_text("data/manifest.csv", f"{columns}\nglass/1.jpg,glass,ok,,,,,512,384,99\n")
    write_text("data/splits.csv", "path,label,group,split,reason\n")


def write_models(*models: str) -> None:
    write_params({"models": list(models)})


def write_model(
    model: str, wrong: set[int], val_accuracy: float = 0.8, val_loss: float = 0.5, folder: str = "a"
) -> None:
    """Write what `evaluate` writes of a model that has all test photos right but those `wrong`."""
    labels = [CLASSES[photo % 2] for photo in range(PHOTOS)]
    is_paper = np.array([(photo % 2 == 1) != (photo in wrong) for photo in range(PHOTOS)])
    probabilities = np.where(is_paper[:, None], [0.25, 0.75], [0.75, 0.25])
    files = [Path(f"data/images/{folder}/{photo:03}.jpg") for photo in range(PHOTOS)]

    table = predictions_table(files, labels, probabilities, CLASSES)
    write_predictions(f"metrics/{model}/predictions-test.csv", table)
    write_json(
        f"metrics/{model}/timing-evaluate.json", {"seconds": 1, "milliseconds_per_image": 9.5}
    )
    write_json(
        f"metrics/{model}.json",
        {
            "test": classification_metrics(labels, probabilities, CLASSES),
            "val": {
                "accuracy": val_accuracy,
                "loss": val_loss,
                "macro_f1": val_accuracy,
            },
            "train": {"final_accuracy": 0.95},
            "epochs": {"initial": 7, "fine_tune": 3},
            "model": {"parameters": 2_422_726},
            "calibration": {
                "temperature": 1.0,
                "threshold": 0.5,
                "test": {"ece_before": 0.2, "ece_after": 0.1, "sure": 2, "sure_and_right": 2},
            },
        },
    )
    write_json(
        f"metrics/{model}/training.json",
        {
            "kept": {"phase": "fine_tune", "epoch": 2},
            "files": [{"path": f"models/{model}.keras", "sha256": "ab" * 32}],
        },
    )


def report() -> str:
    return Path("reports/comparison.md").read_text(encoding="utf-8")
