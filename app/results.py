"""What the pipeline wrote about its models, as the app shows it."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trashnet.errors import PipelineError
from trashnet.files import read_json
from trashnet.metrics import read_predictions, wilson_interval

METRICS = Path("metrics")
TEMPERATURES = (0.01, 100)
"""Between them lies every temperature of `trashnet.metrics.fit_temperature`; far beyond them
probabilities overflow."""


class Score(NamedTuple):
    """A model's share of right answers on the test photos, with its 95% interval."""

    accuracy: float
    low: float
    high: float


class Calibration(NamedTuple):
    """What `evaluate` found out about a model's confidence.

    Attributes
    ----------
    temperature : float
        For `trashnet.metrics.apply_temperature`.
    threshold : float
        The calibrated confidence from which on an answer is given.
    error_before, error_after : float
        Expected calibration error on the test photos without and with the temperature.
    """

    temperature: float
    threshold: float
    error_before: float
    error_after: float


def score(predictions: pd.DataFrame) -> Score:
    """Count the right answers, which `compare` does only when every model is evaluated."""
    right = predictions["label"] == predictions["predicted"]
    return Score(float(right.mean()), *wilson_interval(int(right.sum()), len(right)))


def read_calibration(model: str) -> Calibration:
    """Read how a model's probabilities become its confidence.

    Raises
    ------
    PipelineError
        If `evaluate` did not write it, as versions without calibration did not,
        or it holds what no number of its kind can be.
    """
    path = METRICS / f"{model}.json"
    try:
        written = read_json(path)["calibration"]
        return Calibration(
            _number(written["temperature"], *TEMPERATURES),
            _number(written["threshold"], 0, 1),
            _number(written["test"]["ece_before"], 0, 1),
            _number(written["test"]["ece_after"], 0, 1),
        )
    except (KeyError, TypeError, ValueError):
        raise PipelineError(
            f"{path} has no calibration; run `dvc repro evaluate@{model}`."
        ) from None


def read_test_predictions(model: str) -> pd.DataFrame:
    """Read the model's answers on the test photos: see `trashnet.metrics.predictions_table`."""
    return read_predictions(predictions_file(model))


def predictions_file(model: str) -> Path:
    """Return where the model's answers on the test photos stand."""
    return METRICS / model / "predictions-test.csv"


def read_model_hash(model: str) -> str:
    """Read the SHA-256 of the model file that was trained, empty where no training says it."""
    path = METRICS / model / "training.json"
    files = read_json(path).get("files") or [{}]
    if not isinstance(files, list) or not isinstance(files[0], dict):
        raise _damaged(path)
    return str(files[0].get("sha256", ""))


def read_members(model: str) -> list[str]:
    """Read which models an ensemble answers with the mean of; none where it is no ensemble."""
    path = METRICS / model / "training.json"
    members = read_json(path).get("members", [])
    if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
        raise _damaged(path)
    return members


def read_history(model: str) -> pd.DataFrame:
    """Read a model's learning curves, one row an epoch.

    Returns
    -------
    DataFrame
        Index epoch; columns accuracy and loss, each for training and validation.
    """
    path = METRICS / model / "history.csv"
    names = {
        "accuracy": "training accuracy",
        "val_accuracy": "validation accuracy",
        "loss": "training loss",
        "val_loss": "validation loss",
    }
    try:
        return pd.read_csv(path, index_col="epoch")[list(names)].rename(columns=names)
    except (OSError, ValueError, KeyError):
        raise _damaged(path) from None


def probabilities(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the uncalibrated probabilities of a predictions table, one column a class."""
    return predictions.filter(regex="^p_").rename(columns=lambda name: name.removeprefix("p_"))


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count the test photos: rows are what they show, columns what the model says."""
    names = list(probabilities(predictions))
    counts = pd.crosstab(predictions["label"], predictions["predicted"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows where the model is wrong, the surest first: there is most to learn."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    surest = probabilities(wrong).max(axis=1).sort_values(ascending=False, kind="stable")
    return wrong.loc[surest.index].reset_index(drop=True)


def _number(value: object, low: float, high: float) -> float:
    """Return a number of a JSON file, in which true, null, NaN and Infinity may stand as well."""
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise ValueError(f"{value} is no number from {low} to {high}")


def _damaged(path: Path) -> PipelineError:
    return PipelineError(f"{path} is missing or damaged; run `dvc repro`.")
