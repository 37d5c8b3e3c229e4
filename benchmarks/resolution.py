"""At what size a frozen backbone tells the photos apart best, in minutes and without training it.

After `dvc repro` (or `dvc exp run`) in this folder:

    python -m benchmarks.resolution MobileNetV2 --sizes 192x256 288x384

Each line is a logistic regression on the pooled outputs of the whole frozen
network over the plain photos of training and validation, judged by
cross-validation in five parts that keep near-duplicates together. The test
split is not read. It says which sizes are worth a training, not what the
training will reach.
"""

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import run_benchmark
from trashnet.backbones import BACKBONES
from trashnet.dataset import IMAGES, class_names, read_splits
from trashnet.images import load_batches
from trashnet.networks import build_backbone, compile_inference, cut_network
from trashnet.progress import progress_bar
from trashnet.weights import weights_file

FOLDS = 5
INVERSE_REGULARIZATION = 0.003
"""scikit-learn's C: small, since there are nearly as many features as photos."""
BATCH_SIZE = 32


class Score(NamedTuple):
    """How well frozen features tell photos apart.

    Attributes
    ----------
    accuracy : float
        In [0, 1].
    log_loss : float
        In nats.
    """

    accuracy: float
    log_loss: float


def main() -> None:
    """Print a table of one line a model and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", choices=BACKBONES, metavar="MODEL")
    parser.add_argument("--sizes", nargs="+", type=read_size, required=True, metavar="HEIGHTxWIDTH")
    options = parser.parse_args()

    splits = read_splits()
    photos = splits[splits["split"].isin(["train", "val"])].reset_index(drop=True)
    print("| Backbone | Pixels | Accuracy | Log loss | Photos/s |\n|---|---|---|---|---|")
    for model in options.models:
        for image_size in options.sizes:
            started = time.perf_counter()
            features = pooled_features(model, image_size, photos["path"].tolist())
            speed = len(photos) / (time.perf_counter() - started)
            accuracy, loss = score(features, photos)
            size = " x ".join(map(str, image_size))
            print(f"| {model} | {size} | {accuracy:.3f} | {loss:.3f} | {speed:.0f} |", flush=True)


def read_size(text: str) -> tuple[int, int]:
    """Read height and width in pixels from a text like 192x256."""
    height, _, width = text.partition("x")
    return int(height), int(width)


def pooled_features(model: str, image_size: Sequence[int], paths: list[str]) -> np.ndarray:
    """Return the frozen network's pooled outputs: float32, shape (photos, channels)."""
    backbone = build_backbone(model, image_size, weights_file(model))
    trunk, tail = cut_network(model, backbone, trainable_layers=0)
    pooled = keras.layers.GlobalAveragePooling2D()(tail(trunk.output))
    run = compile_inference(keras.Model(trunk.input, pooled))
    outputs = []
    with progress_bar(len(paths), f"{model} at {image_size}", "photo") as bar:
        for pixels in load_batches([IMAGES / path for path in paths], image_size, BATCH_SIZE):
            outputs.extend(run(pixels))
            bar.update(len(pixels))
    return np.concatenate(outputs)


def score(features: np.ndarray, photos: pd.DataFrame) -> Score:
    """Judge features by cross-validation.

    Parameters
    ----------
    features : float array, shape (photos, channels)
    photos : DataFrame
        With the columns label and group of `trashnet.dataset.read_splits`.
    """
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1000)
    )
    probabilities = cross_val_predict(
        classifier,
        features,
        photos["label"],
        groups=photos["group"],
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=1),
        method="predict_proba",
    )
    classes = np.array(class_names(photos))
    predicted = classes[probabilities.argmax(axis=1)]
    return Score(
        accuracy_score(photos["label"], predicted), log_loss(photos["label"], probabilities)
    )


if __name__ == "__main__":
    run_benchmark(main)
