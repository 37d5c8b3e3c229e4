"""Every setting of a study held against the baseline, and the one that validation recommends."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from trashnet.errors import PipelineError
from trashnet.study.experiments import (
    hash_val_photos,
    read_correctness,
    read_metrics,
    read_models,
)
from trashnet.study.grid import Run, Setting, describe
from trashnet.study.verdict import LEAST_SEEDS, Finding, Pair, find_all

Said = TypeVar("Said")


class Verdict(NamedTuple):
    """What a study says of one model.

    Attributes
    ----------
    model : str
    accuracy : dict
        What was found against the baseline by setting (as `describe` names it).
    rarest_recall : dict
        The same for the test photos of the rarest class alone.
    unjudged : dict
        Why a setting could not be held against the baseline on test.
    recommended : str or None
        The setting whose mean validation accuracy gains most over the baseline,
        on the seeds that both have; the baseline where none gains; None where
        settings were validated on different photos or labels.
    """

    model: str
    accuracy: dict[str, Finding]
    rarest_recall: dict[str, Finding]
    unjudged: dict[str, str]
    recommended: str | None


def collect(runs: Sequence[Run], commits: dict[str, str], folder: Path = Path()) -> pd.DataFrame:
    """Read the finished runs' metrics from git.

    Returns
    -------
    DataFrame
        A row a run and model: model, setting, seed, test_accuracy, macro_f1,
        ``recall_<class>``, val_accuracy (all in [0, 1]), val_photos (a hash
        of which and their labels), the varied parameters, experiment, commit.
    """
    rows = []
    for run in runs:
        if commit := commits.get(run.name):
            for model in read_models(commit, folder):
                metrics = read_metrics(commit, model, folder)
                recalls = metrics["test"]["recall"].items()
                rows.append(
                    {
                        "model": model,
                        "setting": describe(run.setting),
                        "seed": run.seed,
                        "test_accuracy": metrics["test"]["accuracy"],
                        "macro_f1": metrics["test"]["macro_f1"],
                        **{f"recall_{name}": recall for name, recall in recalls},
                        "val_accuracy": metrics["val"]["accuracy"],
                        "val_photos": hash_val_photos(commit, model, folder),
                        **run.setting,
                        "experiment": run.name,
                        "commit": commit,
                    }
                )
    return pd.DataFrame(rows)


def judge(
    results: pd.DataFrame, baseline: Setting, rarest: str, folder: Path = Path()
) -> list[Verdict]:
    """Hold each setting against the baseline, over the seeds that both have."""
    base = describe(baseline)
    tables, unjudged = {}, {}
    for model, of_model in results.groupby("model"):
        for setting in dict.fromkeys(of_model["setting"]):
            if setting != base and base in set(of_model["setting"]):
                try:
                    pair = paired(of_model, setting, base, str(model), folder)
                    tables[str(model), setting] = pair
                except PipelineError as error:
                    unjudged[str(model), setting] = str(error)
    accuracy = find_all({key: _seeds_first(*pair) for key, pair in tables.items()})
    recall = find_all(
        {
            key: _seeds_first(*(table.xs(rarest, level="label") for table in pair))
            for key, pair in tables.items()
        }
    )
    return [
        Verdict(
            model=str(model),
            accuracy=_of_model(accuracy, str(model)),
            rarest_recall=_of_model(recall, str(model)),
            unjudged=_of_model(unjudged, str(model)),
            recommended=recommend(of_model, base),
        )
        for model, of_model in results.groupby("model")
    ]


def _seeds_first(setting: pd.DataFrame, base: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return setting.to_numpy().T, base.to_numpy().T


def _of_model(findings: dict[Pair, Said], model: str) -> dict[str, Said]:
    return {setting: found for (of, setting), found in findings.items() if of == model}


def paired(
    of_model: pd.DataFrame, setting: str, base: str, model: str, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return whether setting and baseline were right, a row a photo, a column a common seed."""
    commits = of_model.set_index(["setting", "seed"])["commit"]
    seeds = sorted(set(commits[setting].index) & set(commits[base].index))
    if not seeds:
        raise PipelineError(f"{setting} and {base} have no finished seed in common.")
    tables = [
        pd.DataFrame(
            {seed: read_correctness(commits[which][seed], model, folder) for seed in seeds}
        )
        for which in (setting, base)
    ]
    both = pd.concat(tables, axis=1)
    if both.isna().any(axis=None):
        raise PipelineError(
            f"{setting} and {base} were tested on other photos or labels, so they cannot be "
            "compared; do not vary what changes the split or the labels."
        )
    return both.iloc[:, : len(seeds)], both.iloc[:, len(seeds) :]


def recommend(of_model: pd.DataFrame, base: str) -> str | None:
    """Choose on validation alone: the test split must not pick the winner."""
    if why_nothing(of_model, base):
        return None
    gains = {
        setting: shared["val_accuracy"].sub(shared["val_accuracy_base"]).mean()
        for setting, shared in shared_seeds(of_model, base).items()
    }
    best = max(gains, key=lambda setting: gains[setting])
    return best if gains[best] > 1e-9 else base


def why_nothing(of_model: pd.DataFrame, base: str) -> str:
    """Say why validation cannot choose among a model's settings; empty where it can."""
    settings = list(dict.fromkeys(of_model["setting"]))
    if len(settings) == 1:
        return f"of the runs that finished, only those of {settings[0]} trained this model."
    if base not in settings:
        return f"no run of {base} trained this model."
    if of_model["val_photos"].nunique() > 1:
        return (
            "the settings were validated on different photos or labels, so their validation "
            "accuracies do not compare."
        )
    if not shared_seeds(of_model, base):
        return f"no seed has finished with both {base} and another setting."
    return ""


def shared_seeds(of_model: pd.DataFrame, base: str) -> dict[str, pd.DataFrame]:
    """Bring each setting that validation may recommend together with the baseline.

    Each on the seeds that it shares with the baseline, because a hard seed that
    failed in one of them would flatter it. A setting that shares fewer than
    `LEAST_SEEDS` is left out where another shares more: it would be luck.

    Returns
    -------
    dict
        By setting the accuracies, and with the ending ``_base`` those of the
        baseline; a row a seed, which is the index.
    """
    accuracies = of_model.set_index("seed")[["setting", "val_accuracy", "test_accuracy"]]
    of_base = accuracies[accuracies["setting"] == base].add_suffix("_base")
    shared = {
        str(setting): of_setting.join(of_base, how="inner").sort_index()
        for setting, of_setting in accuracies.groupby("setting", sort=False)
        if setting != base
    }
    enough = min(LEAST_SEEDS, max(map(len, shared.values()), default=0))
    return {setting: both for setting, both in shared.items() if len(both) >= max(1, enough)}
