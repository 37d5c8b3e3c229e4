"""A trained model's answers on photos that are not in the dataset."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trashnet.errors import PipelineError
from trashnet.files import read_json
from trashnet.images import ImageError, load_pixels, map_ahead

COMPARISON = Path("reports/comparison.json")
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}
BATCH_SIZE = 32
"""How many photos the model is asked about while as many others are decoded."""


@dataclass(frozen=True)
class Answer:
    """What the model says of one photo, or why it says nothing.

    Attributes
    ----------
    path : Path
        As the caller named it.
    probabilities : float32 array, shape (classes,), or None
        None where the photo could not be read, or the model gives no numbers.
    error : str
        A sentence where there are no probabilities, else empty.
    """

    path: Path
    probabilities: np.ndarray | None
    error: str = ""


def compared_models(comparison: Path = COMPARISON) -> list[str]:
    """Return the models that the comparison lists, the best on validation first.

    Others may stand in models/ from an earlier run on other data.

    Raises
    ------
    PipelineError
        If there is no comparison yet, or it names no model.
    """
    if not comparison.exists():
        raise PipelineError(
            f"There is no {comparison}, so no model was trained here yet; run `dvc repro`."
        )
    models = read_json(comparison).get("models")
    if not isinstance(models, dict) or not models:
        raise PipelineError(f"{comparison} names no model; run `dvc repro compare -f`.")
    return list(models)


def find_photos(arguments: Sequence[Path]) -> list[Path]:
    """Replace each folder by the photos in it, sorted; a folder without any stays.

    Links are followed, except those to a folder that they stand in.
    """
    found: list[Path] = []
    for argument in arguments:
        found += _photos_in(argument) if stat.S_ISDIR(_mode(argument)) else [argument]
    return found


def answer(
    predict: Callable[[np.ndarray], np.ndarray], paths: Sequence[Path], image_size: Sequence[int]
) -> Iterator[Answer]:
    """Run a model on photos; one that has no answer does not stop the others.

    Parameters
    ----------
    predict : callable
        uint8 pixels, shape (n, height, width, 3), to probabilities (n, classes).
    paths : sequence of Path
        JPEG and PNG files.
    image_size : sequence of int
        Height and width in pixels that `predict` takes.

    Yields
    ------
    Answer
        One a path, in order.
    """
    load = partial(_load_or_explain, image_size=image_size)
    waiting = iter(paths)
    for batch in map_ahead(load, paths, BATCH_SIZE):
        pixels = [loaded for loaded in batch if not isinstance(loaded, str)]
        answers = iter(predict(np.stack(pixels)) if pixels else ())
        for loaded, path in zip(batch, waiting, strict=False):
            if isinstance(loaded, str):
                yield Answer(path, None, loaded)
            else:
                yield _checked(path, next(answers))


def _checked(path: Path, probabilities: np.ndarray) -> Answer:
    if np.isfinite(probabilities).all():
        return Answer(path, probabilities)
    return Answer(
        path,
        None,
        f"{path} has no answer, because the model gives no numbers for it; train it again.",
    )


def _photos_in(folder: Path) -> list[Path]:
    unreadable: list[Path] = []
    photos = []
    for place, folders, names in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename)), followlinks=True
    ):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _leads_back(Path(place, name))
        ]
        photos += [
            Path(place, name)
            for name in names
            if Path(name).suffix.lower() in PHOTO_SUFFIXES
            and not name.startswith(".")
            and (stat.S_ISREG(_mode(Path(place, name))) or not _mode(Path(place, name)))
        ]
    return sorted(photos + unreadable) or [folder]


def _leads_back(folder: Path) -> bool:
    """Whether this is a link to a folder that holds it, which has no end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _mode(path: Path) -> int:
    """Return what kind of file this is, 0 where the system does not say; `load_pixels` says why."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _load_or_explain(path: Path, image_size: Sequence[int]) -> np.ndarray | str:
    if stat.S_ISDIR(_mode(path)) and os.access(path, os.R_OK | os.X_OK):
        return f"{path} holds no .jpg, .jpeg or .png file; name a folder that does."
    try:
        return load_pixels(path, image_size)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); check the name and its permissions."
