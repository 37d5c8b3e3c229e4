"""Scores of predictions, how sure they are, and whether two models differ by more than chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from trashnet.files import atomic_file

DIGITS = 6
"""Decimals kept in metrics and predictions: more would only be noise in a diff."""


def predictions_table(
    paths: Sequence[Path],
    labels: Sequence[str],
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Put a model's answers into a table.

    Parameters
    ----------
    paths : sequence of Path
        From the repository's root, n photos.
    labels : sequence of str
        The right class of each.
    probabilities : float array, shape (n, classes)
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


def write_predictions(path: Path, table: pd.DataFrame) -> None:
    """Write a table from `predictions_table` as CSV, probabilities with six decimals."""
    with atomic_file(path) as partial:
        table.to_csv(partial, index=False, float_format=f"%.{DIGITS}f")


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table that `write_predictions` wrote."""
    text = dict.fromkeys(["path", "label", "predicted"], "str")
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def classification_metrics(
    labels: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Score probabilities against labels, with scikit-learn.

    Parameters
    ----------
    labels : sequence of str
        The right class of n photos.
    probabilities : float array, shape (n, classes)
    class_names : sequence of str
        The class of each column, in alphabetical order.

    Returns
    -------
    dict
        accuracy, loss (mean negative log likelihood, nats), macro_f1, and
        recall, a dict with a number a class; all but the loss in [0, 1].
        A class without photos has recall 0.
    """
    names = list(class_names)
    predicted = np.asarray(names)[probabilities.argmax(axis=1)]
    likelihoods = probabilities.astype(np.float64)
    likelihoods /= likelihoods.sum(axis=1, keepdims=True)
    recalls = recall_score(labels, predicted, labels=names, average=None, zero_division=0)
    macro_f1 = f1_score(labels, predicted, labels=names, average="macro", zero_division=0)
    return {
        "accuracy": round(float(accuracy_score(labels, predicted)), DIGITS),
        "loss": round(float(log_loss(labels, likelihoods, labels=names)), DIGITS),
        "macro_f1": round(float(macro_f1), DIGITS),
        "recall": {
            name: round(float(recall), DIGITS) for name, recall in zip(names, recalls, strict=True)
        },
    }


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927), as SciPy computes it."""
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Return the p value of McNemar's exact test (1947) that two models are equally often right.

    Parameters
    ----------
    correct_a, correct_b : bool arrays, shape (n,)
        Whether each model was right on the same n photos. Only photos on
        which one of them alone was right tell anything.

    Returns
    -------
    float
        Two-sided; 1 where the models never disagree.
    """
    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(correct_b & ~correct_a))
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for being several (Holm 1979), in the order given."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.array(p_values)[order] * factors), 1)
    return adjusted.tolist()
