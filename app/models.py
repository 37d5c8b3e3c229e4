"""The trained models, loaded once and asked once a photo. Nothing here is written to disk."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from app.answers import PhotoAnswer, ask
from app.results import predictions_file, probabilities, read_model_hash, read_test_predictions
from trashnet.dataset import IMAGES
from trashnet.errors import PipelineError
from trashnet.images import NotAnImageError, UnreadableImageError

if TYPE_CHECKING:
    from trashnet.classifier import Classifier

MAX_PHOTOS = 50
"""Answered at a time, and remembered for the time that the page is open."""


SAME_PROBABILITY = 0.05
"""How far another processor, a GPU included, may move one; another training moves it farther."""


def answer_photo(model: str, content: bytes, temperature: float) -> PhotoAnswer:
    """Answer a photo: see `app.answers.ask`.

    Raises
    ------
    PipelineError
        If there is no such model, it is not the one that was evaluated, or the
        bytes are no usable photo.
    """
    return _answer(model, _version(model), content, temperature)


def heat_photo(model: str, content: bytes, answer: PhotoAnswer, class_name: str) -> Image.Image:
    """Return the photo grey, with the places orange that speak for a class.

    `content` only says which photo `answer` is of.
    """
    return _heat(model, _version(model), content, class_name, answer)


def class_names(model: str) -> list[str]:
    """Return the class of each probability."""
    return _load(model, _version(model))[0].class_names


@contextmanager
def naming_photo(path: Path) -> Iterator[None]:
    """Name a photo of the dataset that is broken: its error alone would mean the visitor's.

    Raises
    ------
    PipelineError
        If the photo cannot be decoded.
    """
    try:
        yield
    except (NotAnImageError, UnreadableImageError):
        raise PipelineError(f"{path} is damaged; bring it back with `dvc checkout`.") from None


def _version(model: str) -> tuple[int, int]:
    """Return what changes when the model is trained or evaluated again."""
    return _time_written(_model_file(model)), _time_written(predictions_file(model))


def _time_written(path: Path) -> int:
    """Return when a file was written, in nanoseconds, 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # asked for once, because `dvc repro` may take it away in between
        return 0


def _model_file(model: str) -> Path:
    """Return what `trashnet.classifier.classifier_file` does, without TensorFlow."""
    return Path("models", f"{model}.keras")


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def _load(
    model: str, version: tuple[int, int]
) -> "tuple[Classifier, Callable[[np.ndarray], np.ndarray]]":
    # TensorFlow takes seconds to import: the page is there before it.
    from trashnet.classifier import load_classifier  # noqa: PLC0415

    classifier = load_classifier(_model_file(model))
    predict = classifier.predictor()
    _check_evaluated(model, classifier, predict)
    return classifier, predict


def _check_evaluated(
    model: str, classifier: "Classifier", predict: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Refuse a model that was trained again since: temperature and metrics are the old one's."""
    predictions = read_test_predictions(model)
    same = list(probabilities(predictions)) == classifier.class_names
    if same and IMAGES.is_dir():
        same = _answers_again(predictions, classifier, predict)
    elif same:  # only the model was brought here
        content = _model_file(model).read_bytes()
        same = read_model_hash(model) == hashlib.sha256(content).hexdigest()
    if not same:
        raise PipelineError(
            f"{model} is not the model that was evaluated last, so nobody knows how good it is; "
            "run `dvc repro`."
        )


def _answers_again(
    predictions: pd.DataFrame,
    classifier: "Classifier",
    predict: Callable[[np.ndarray], np.ndarray],
) -> bool:
    """Whether a model answers a test photo as it did when it was evaluated."""
    written = probabilities(predictions)
    # On a photo that every model is sure of, two trainings may agree.
    doubtful = int(written.max(axis=1).argmin())
    path = Path(predictions["path"][doubtful])
    if not path.is_file():
        return False
    with naming_photo(path):
        answer = ask(predict, classifier.image_size, 1.0, path.read_bytes())
    moved = (written.loc[doubtful] - answer.probabilities).abs()
    return bool(moved.max(skipna=False) <= SAME_PROBABILITY)


@st.cache_data(scope="session", max_entries=MAX_PHOTOS, show_spinner="Looking at the photo")
def _answer(
    model: str, version: tuple[int, int], content: bytes, temperature: float
) -> PhotoAnswer:
    classifier, predict = _load(model, version)
    return ask(predict, classifier.image_size, temperature, content)


@st.cache_data(scope="session", max_entries=MAX_PHOTOS, show_spinner="Looking at the photo")
def _heat(
    model: str, version: tuple[int, int], content: bytes, class_name: str, _answer: PhotoAnswer
) -> Image.Image:
    from trashnet.gradcam import heat_map, lay_over  # noqa: PLC0415

    classifier, _ = _load(model, version)
    number = classifier.class_names.index(class_name)
    return lay_over(_answer.photo, heat_map(classifier, _answer.pixels, number))
