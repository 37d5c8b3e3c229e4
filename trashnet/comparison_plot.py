"""The picture of a comparison: how often each model is right, overall and in each class."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trashnet.files import atomic_file

# A class may be named in letters that Matplotlib's own font lacks: the picture shows boxes then.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")


def draw_comparison(path: Path, title: str, comparison: pd.DataFrame, recall: pd.DataFrame) -> None:
    """Draw accuracies with their intervals, and recall by class, one line a model.

    Parameters
    ----------
    path : Path
        The PNG to write.
    title : str
    comparison : DataFrame
        A row a model, with the columns Model, Test Accuracy, Test Accuracy Low,
        Test Accuracy High and Best Val Accuracy, in [0, 1].
    recall : DataFrame
        A row a model in the same order, a column a class, in [0, 1].
    """
    models, classes = recall.shape
    longest_name = max(map(len, recall.columns))
    figure = Figure(
        figsize=(6 + 0.65 * classes, 2 + 0.4 * models + 0.05 * longest_name), layout="constrained"
    )
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[4, 0.65 * classes])
    # A dataset or a class may be called $x$.
    figure.suptitle(title, fontsize=11, parse_math=False)
    _draw_accuracy(left, comparison)
    _draw_recall(right, recall)
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=100)


def _draw_accuracy(axes: Axes, comparison: pd.DataFrame) -> None:
    """Draw test accuracy with its interval, and validation accuracy, which sorts the models."""
    rows = np.arange(len(comparison))
    test = comparison["Test Accuracy"]
    errors = [test - comparison["Test Accuracy Low"], comparison["Test Accuracy High"] - test]
    axes.errorbar(test, rows, xerr=errors, fmt="o", capsize=3, label="test, 95% interval")
    axes.plot(
        comparison["Best Val Accuracy"], rows, "|", markersize=12, color="black", label="validation"
    )
    axes.set_yticks(rows, comparison["Model"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("accuracy")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=9)


def _draw_recall(axes: Axes, recall: pd.DataFrame) -> None:
    """Draw each class's recall as a coloured cell with its number."""
    axes.imshow(recall, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    columns = range(recall.shape[1])
    axes.set_xticks(columns, recall.columns, rotation=30, ha="right", parse_math=False)
    axes.set_title("recall on test", fontsize=10)
    axes.tick_params(axis="y", length=0)
    for (row, column), share in np.ndenumerate(recall.to_numpy()):
        colour = "white" if share > 0.6 else "black"
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=9)
