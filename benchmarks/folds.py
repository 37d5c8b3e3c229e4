"""What settings bring in cross-validation, where every photo is tested once.

In the folder where they were run, an experiment a fold, e.g. as base-1 to base-5 and adam-1 to
adam-5, the baseline named first:

    python -m benchmarks.folds base adam
"""

import argparse
import re

import numpy as np
import pandas as pd

from benchmarks import run_benchmark
from trashnet.errors import PipelineError
from trashnet.study.experiments import find_experiments, read_correctness, read_models
from trashnet.study.verdict import Pair, find_all

TITLES = (
    "Model",
    "Setting",
    "Accuracy, mean ± sd over folds",
    "Photos gained, lost",
    "Gain in points [95%]",
    "McNemar's p, corrected",
)


def main() -> None:
    """Print a row a model and setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("baseline", help="what stands before -1 in the names of its experiments")
    parser.add_argument("settings", nargs="+", help="likewise")
    arguments = parser.parse_args()
    baseline = read_folds(arguments.baseline)
    pairs = {
        pair: correct
        for setting in arguments.settings
        for pair, correct in pair_photos(setting, read_folds(setting), baseline).items()
    }
    print("\n".join(table(pairs)))


def read_folds(setting: str) -> pd.DataFrame:
    """Read from the experiments <setting>-<fold> whether test photos were right.

    Returns
    -------
    DataFrame
        Columns model, fold, path, label and correct; a row a model and photo.

    Raises
    ------
    PipelineError
        If there is no such experiment.
    """
    folds = [
        read_correctness(commit, model)
        .rename("correct")
        .reset_index()
        .assign(model=model, fold=name)
        for name, commit in sorted(find_experiments().items())
        if re.fullmatch(rf"{re.escape(setting)}-\d+", name)
        for model in read_models(commit)
    ]
    if not folds:
        raise PipelineError(
            f"No experiment here is called {setting}-1; `dvc exp show -A` lists their names."
        )
    return pd.concat(folds, ignore_index=True)


def pair_photos(
    setting: str, of_setting: pd.DataFrame, of_baseline: pd.DataFrame
) -> dict[Pair, pd.DataFrame]:
    """Bring the setting's and the baseline's answers to the same photos together.

    Parameters
    ----------
    setting : str
    of_setting, of_baseline : DataFrame
        As `read_folds` returns them.

    Returns
    -------
    dict
        For each model that both trained and the setting a table with the columns fold, correct
        and baseline; a row a photo.

    Raises
    ------
    PipelineError
        If they trained no model in common, or were tested on different photos,
        or on one more than once.
    """
    pairs: dict[Pair, pd.DataFrame] = {}
    for model in sorted({*of_setting["model"]} & {*of_baseline["model"]}):
        mine, other = (
            folds[folds["model"] == model].set_index(["path", "label"])
            for folds in (of_setting, of_baseline)
        )
        if mine.index.has_duplicates or other.index.has_duplicates:
            raise PipelineError(
                f"{setting} or the baseline tested a photo of {model} more than once, so its runs "
                "are no folds of one cross-validation; compare seeds with ./study."
            )
        if not mine.index.sort_values().equals(other.index.sort_values()):
            raise PipelineError(
                f"{setting} and the baseline tested {model} on different photos; run the same "
                "folds of the same dataset for both."
            )
        shared = mine["fold"].str.cat(other["fold"], sep=" ")
        if not shared.nunique() == mine["fold"].nunique() == other["fold"].nunique():
            raise PipelineError(
                f"{setting} and the baseline cut the photos of {model} into different folds; give "
                "both the same split.seed and split.folds."
            )
        pairs[model, setting] = mine[["fold", "correct"]].assign(baseline=other["correct"])
    if not pairs:
        raise PipelineError(
            f"{setting} and the baseline trained no model in common; run both with the same models."
        )
    return pairs


def table(pairs: dict[Pair, pd.DataFrame]) -> list[str]:
    """Write a row a pair, below the baseline of its model, as lines of Markdown."""
    findings = find_all(
        {
            pair: (of_pair["correct"].to_numpy()[None], of_pair["baseline"].to_numpy()[None])
            for pair, of_pair in pairs.items()
        }
    )
    lines = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    for (model, setting), of_pair in sorted(pairs.items(), key=lambda item: item[0][0]):
        baseline = f"| {model} | the baseline | {_spread(of_pair, 'baseline')} | | | |"
        if baseline not in lines:
            lines.append(baseline)
        found = findings[model, setting]
        gained = int((of_pair["correct"] & ~of_pair["baseline"]).sum())
        lost = int((of_pair["baseline"] & ~of_pair["correct"]).sum())
        points = 100 * np.array(found.difference[:3])
        lines.append(
            f"| {model} | {setting} | {_spread(of_pair, 'correct')} | {gained}, {lost} "
            f"| {points[0]:+.1f} [{points[1]:+.1f}, {points[2]:+.1f}] "
            f"| {found.difference.p:.2g}, {found.p_holm:.2g} |"
        )
    return lines


def _spread(of_pair: pd.DataFrame, column: str) -> str:
    accuracies = of_pair.groupby("fold")[column].mean()
    spread = f" ± {accuracies.std():.3f}" if len(accuracies) > 1 else ""
    return f"{accuracies.mean():.3f}{spread}"


if __name__ == "__main__":
    run_benchmark(main)
