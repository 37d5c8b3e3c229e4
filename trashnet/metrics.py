"""Scores of predictions, how sure they are, and whether two models differ by more than chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from trashnet.errors import PipelineError
from trashnet.files import atomic_file

DECIMALS = 6
"""Of metrics and probabilities written: more would only be noise in a diff."""


CALIBRATION_BINS = 15

SURE = 0.95
"""Share of right answers among those that are given as sure."""

LEAST_CONFIDENCE = 0.5
"""Below it an answer is more probably wrong than right, so none is sure, however good the model."""


def predictions_table(
    paths: Sequence[Path],
    labels: Sequence[str],
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Put a model's answers into a table, one row a photo.

    Parameters
    ----------
    paths : sequence of Path
        From the repository's root, n photos.
    labels : sequence of str
        The right class of each.
    probabilities : float array, shape (n, classes)
        In [0, 1].
    class_names : sequence of str
        The class of each column of `probabilities`.

    Returns
    -------
    DataFrame
        Columns path, label, predicted, and ``p_<class>`` for each class.
    """
    table = pd.DataFrame({"path": [path.as_posix() for path in paths], "label": list(labels)})
    table["predicted"] = np.asarray(class_names)[probabilities.argmax(axis=1)]
    columns = [f"p_{name}" for name in class_names]
    return table.join(pd.DataFrame(probabilities.astype(np.float64), columns=columns))


def write_predictions(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table from `predictions_table` as CSV, probabilities with six decimals."""
    with atomic_file(path) as partial:
        table.to_csv(partial, index=False, float_format=f"%.{DECIMALS}f")


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_predictions` wrote.

    Raises
    ------
    PipelineError
        If the file is missing or is not such a table.
    """
    text = dict.fromkeys(["path", "label", "predicted"], "str")
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False)
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `dvc repro`.") from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read ({error.strerror}); mend that.") from None
    except ValueError as error:
        raise PipelineError(f"{path} is not a CSV table ({error}); run `dvc repro`.") from None
    lacking = [column for column in text if column not in table]
    if lacking:
        raise PipelineError(f"{path} lacks the column {lacking[0]}; run `dvc repro`.")
    if table.empty:
        raise PipelineError(f"{path} names no photo; run `dvc repro`.")
    # Such as git's marks of a conflict: cells that a row lacks would agree with each other.
    broken = (table == "").any(axis=1) | table.isna().any(axis=1)
    if broken.any():
        raise PipelineError(
            f"{path} lacks a value in line {2 + int(broken.to_numpy().argmax())}; run `dvc repro`."
        )
    return table


def classification_metrics(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Score probabilities against labels, with scikit-learn.

    Parameters
    ----------
    labels : sequence of str
        The right class of n photos.
    probabilities : float array, shape (n, classes)
        Rows in [0, 1] that sum to 1; the largest is the prediction.
    class_names : sequence of str
        The class of each column, in any order.

    Returns
    -------
    dict
        accuracy, loss (mean negative log likelihood, nats), macro_f1, and
        recall, a dict with a number a class; all but the loss in [0, 1].
        Likelihoods are clipped at the resolution of float32 (1.2e-7), so one
        photo adds at most 15.9 nats. A class without photos has recall 0.

    Raises
    ------
    PipelineError
        If a probability is not a finite number.
    """
    if not np.isfinite(probabilities).all():
        raise PipelineError(
            "The model predicts values that are not finite numbers, so its training diverged; "
            "lower initial.learning_rate or fine_tune.learning_rate and train it again."
        )
    # Column numbers, because log_loss would take names in alphabetical order.
    right = _columns(labels, class_names)
    predicted = probabilities.argmax(axis=1)
    columns = list(range(len(class_names)))
    loss = log_loss(right, probabilities.astype(np.float32), labels=columns)
    macro_f1 = f1_score(right, predicted, labels=columns, average="macro", zero_division=0)
    recalls = recall_score(right, predicted, labels=columns, average=None, zero_division=0)
    return {
        "accuracy": round(float(accuracy_score(right, predicted)), DECIMALS),
        "loss": round(float(loss), DECIMALS),
        "macro_f1": round(float(macro_f1), DECIMALS),
        "recall": {
            name: round(float(recall), DECIMALS)
            for name, recall in zip(class_names, recalls, strict=True)
        },
    }


def fit_temperature(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> float:
    """Return the temperature that makes probabilities most likely (Guo et al. 2017, ICML).

    So few photos may all be right that only certainty would be likely enough.
    Therefore the next photo counts, too, as the rule of succession has it: of n
    that were right, n + 1 of n + 2 (as in Platt 1999, "Probabilistic outputs
    for support vector machines", for his targets).

    Parameters
    ----------
    labels : sequence of str
        The right class of n photos, none of which trained or tests the model.
    probabilities : float array, shape (n, classes)
        In [0, 1], rows that sum to 1.
    class_names : sequence of str
        The class of each column.

    Returns
    -------
    float
        Between 0.05 and 20: above 1 the model was too sure of itself.
    """
    right = _columns(labels, class_names)
    doubt = 1 / (len(right) + 2)

    def loss(log_temperature: float) -> float:
        calibrated = apply_temperature(probabilities, np.exp(log_temperature))
        logs = np.log(np.maximum(calibrated, np.finfo(np.float32).eps))
        of_right = logs[np.arange(len(right)), right]
        of_others = (logs.sum(axis=1) - of_right) / (len(class_names) - 1)
        return float(-((1 - doubt) * of_right + doubt * of_others).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return round(float(np.exp(found.x)), DECIMALS)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of log probabilities divided by the temperature, float64.

    The softmax undoes the logarithm up to a constant, so this is what dividing
    the logits gives.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    calibrated: np.ndarray = softmax(logits / temperature, axis=1)
    return calibrated


def expected_calibration_error(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> float:
    """Return how far confidence is from accuracy, in [0, 1] (Guo et al. 2017, ICML).

    The mean of ``|accuracy - confidence|`` over 15 equally wide bins of
    confidence, weighted by the photos in each.

    Parameters
    ----------
    labels, probabilities, class_names
        As for `classification_metrics`.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == _columns(labels, class_names)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)
    return round(float(np.abs(gaps).sum() / len(correct)), DECIMALS)


def choose_threshold(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> float:
    """Return the confidence from which on answers are sure enough to be given.

    That is the lowest confidence, from `LEAST_CONFIDENCE` on, at which at least
    `SURE` of the photos with it or more are answered rightly: 1 where this
    holds for none.

    Parameters
    ----------
    labels, probabilities, class_names
        As for `classification_metrics`; calibrated, of the validation split.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == _columns(labels, class_names)
    likely = confidence >= LEAST_CONFIDENCE
    confidence, correct = confidence[likely], correct[likely]
    if correct.size and correct.mean() >= SURE:
        return LEAST_CONFIDENCE
    candidates, photos = np.unique(confidence, return_counts=True)
    right = np.bincount(np.searchsorted(candidates, confidence), weights=correct)
    share_from = right[::-1].cumsum()[::-1] / photos[::-1].cumsum()[::-1]
    enough = candidates[share_from >= SURE]
    # Rounded down, so that the photo at the threshold stays above.
    return float(np.floor(enough[0] * 10**DECIMALS) / 10**DECIMALS) if enough.size else 1.0


def is_sure(confidence: ArrayLike, threshold: float) -> np.ndarray:
    """Say which answers are sure enough to be given.

    At a threshold of 1 none is: confidence reaches it where a probability is rounded.

    Parameters
    ----------
    confidence : float array
        The largest probability of each answer, calibrated.
    threshold : float
        From `choose_threshold`.

    Returns
    -------
    bool array
    """
    return (np.asarray(confidence) >= threshold) & (threshold < 1)


def count_sure(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str], threshold: float
) -> tuple[int, int]:
    """Return how many answers reach the threshold, and how many of these are right.

    Parameters
    ----------
    labels, probabilities, class_names
        As for `classification_metrics`; calibrated.
    threshold : float
        From `choose_threshold`.
    """
    sure = is_sure(probabilities.max(axis=1), threshold)
    right = probabilities.argmax(axis=1) == _columns(labels, class_names)
    return int(sure.sum()), int((sure & right).sum())


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927), in [0, 1].

    Parameters
    ----------
    correct, total : int
        ``0 <= correct <= total`` and ``total >= 1``.
    """
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Return the p value of McNemar's exact test (1947) that two models are equally often right.

    Parameters
    ----------
    correct_a, correct_b : bool array, shape (n,)
        Whether each model was right on the same n photos. Only photos on
        which one of them alone was right tell anything.

    Returns
    -------
    float
        Two-sided; 1 where the models are right on the same photos.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: ArrayLike) -> list[float]:
    """Correct p values for being several (Holm 1979, Scand. J. Statist. 6:65-70).

    SciPy has only corrections of the false discovery rate.

    Parameters
    ----------
    p_values : float array, shape (m,)
        In [0, 1].

    Returns
    -------
    list of float
        In the order given. To believe all below a level errs even once with
        at most that probability.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return [float(value) for value in corrected]


def _columns(labels: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    number = {name: column for column, name in enumerate(class_names)}
    return np.array([number[label] for label in labels])
