"""The picture of a study: accuracy and the rarest class's recall by setting."""

from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t


def draw(results: pd.DataFrame, rarest: str) -> bytes:
    """Draw accuracy and the rarest class's recall by setting, a line a model, as PNG."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_lines(left, results, "test_accuracy", "test accuracy")
    draw_lines(right, results, f"recall_{rarest}", f"test recall of {rarest}")
    left.legend(frameon=False)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()


def draw_lines(axes: Axes, results: pd.DataFrame, column: str, label: str) -> None:
    """Draw means with 95% t intervals over seeds against the settings."""
    settings = list(dict.fromkeys(results["setting"]))
    models = list(dict.fromkeys(results["model"]))
    for shift, model in enumerate(models):
        groups = results[results["model"] == model].groupby("setting")[column]
        means = groups.mean().reindex(settings)
        counts = groups.size().reindex(settings)
        errors = groups.std().reindex(settings) / np.sqrt(counts) * t.ppf(0.975, counts - 1)
        # Side by side, so that one interval does not hide another.
        places = np.arange(len(settings)) + 0.08 * (shift - (len(models) - 1) / 2)
        axes.errorbar(places, means, yerr=errors, marker="o", capsize=3, label=model)
    axes.set_xticks(
        range(len(settings)), settings, rotation=20 if len(settings) > 5 else 0, parse_math=False
    )
    axes.set_ylabel(f"{label}, mean and 95% interval over seeds", parse_math=False)
    axes.grid(axis="y", alpha=0.3)
