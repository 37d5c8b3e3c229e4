"""Say which model is better, and how sure that is."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trashnet.comparison_plot import draw_comparison
from trashnet.dataset import read_manifest
from trashnet.errors import PipelineError
from trashnet.files import atomic_file, read_json, write_json, write_text
from trashnet.metrics import holm, mcnemar, read_predictions, wilson_interval
from trashnet.model_card import Subject, write_card
from trashnet.params import load_params, public_address
from trashnet.stage import log, run_stage

METRICS = Path("metrics")
REPORT = Path("reports/comparison")
CARD = Path("models/best/README.md")

CHANCE = 0.05
"""From this p value on, a difference may be chance."""


class Header(NamedTuple):
    """What the numbers depend on and a reader must know."""

    dataset: str
    split: str
    weights: str
    seed: int
    test_photos: int

    def as_columns(self) -> dict[str, str | int]:
        """Return them by the names that a table's columns have."""
        return {key.replace("_", " ").title(): value for key, value in self._asdict().items()}


def main() -> None:
    """Write reports/comparison.* on the models that params.yaml names, and the best one's card."""
    params = load_params()
    metrics = {model: read_metrics(model) for model in params.compared}
    correct = read_correctness(params.compared)
    comparison = compare(metrics, correct)
    verdict = judge(comparison["Model"].tolist(), correct)
    header = Header(
        dataset=params.dataset,
        split=params.split.method,
        weights=public_address(params.data.pretrained),
        seed=params.seed,
        test_photos=len(correct),
    )

    with atomic_file(REPORT.with_suffix(".csv")) as partial:
        comparison.assign(**header.as_columns()).to_csv(partial, index=False)
    write_json(REPORT.with_suffix(".json"), as_json(header, comparison, verdict))
    write_text(REPORT.with_suffix(".md"), as_markdown(header, comparison, verdict))
    title = f"{params.dataset}, split {params.split.method}, {len(correct)} test photos"
    recall = {model: metrics[model]["test"]["recall"] for model in comparison["Model"]}
    draw_comparison(REPORT.with_suffix(".png"), title, comparison, pd.DataFrame(recall).T)
    best = comparison.iloc[0]
    subject = describe(best["Model"], metrics[best["Model"]], rivals=len(comparison) - 1)
    counts = read_json(METRICS / "split.json")
    write_text(CARD, write_card(subject, params, counts, read_manifest()))
    log(
        f"{len(comparison)} models on {len(correct)} test photos; best on validation is "
        f"{best['Model']} ({best['Best Val Accuracy']:.3f}, {best['Test Accuracy']:.3f} on test)"
    )


def read_metrics(model: str) -> dict[str, Any]:
    """Read a model's metrics, and its time an image, as nested as `evaluate` writes them."""
    metrics = read_json(METRICS / f"{model}.json")
    timing = read_json(METRICS / model / "timing-evaluate.json")
    return metrics | {"timing": timing}


def describe(model: str, metrics: dict[str, Any], rivals: int) -> Subject:
    """Gather what the model card says of a model."""
    folder = METRICS / model
    training = read_json(folder / "training.json")
    predictions = read_predictions(folder / "predictions-test.csv")
    return Subject(model, metrics, training, predictions, rivals)


def read_correctness(models: list[str]) -> pd.DataFrame:
    """Return whether each model has each test photo right.

    Returns
    -------
    DataFrame
        Booleans, one row a photo and one column a model.

    Raises
    ------
    PipelineError
        If the models were tested on different photos.
    """
    files = {model: METRICS / model / "predictions-test.csv" for model in models}
    tables = {model: read_predictions(file) for model, file in files.items()}
    photos = {model: table[["path", "label"]] for model, table in tables.items()}
    for first, second in pairwise(models):
        if not photos[first].equals(photos[second]):
            raise PipelineError(
                f"{files[first]} and {files[second]} list different test photos, so their models "
                "cannot be compared; run `dvc repro`."
            )
    return pd.DataFrame(
        {model: table["label"] == table["predicted"] for model, table in tables.items()}
    )


def compare(metrics: dict[str, dict[str, Any]], correct: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model, the best on validation first.

    The test split must not pick the winner, so it has no part in the order:
    validation accuracy, then validation loss, then name. Validation accuracy
    is the saved model's, mirror images and all, at its best epoch.
    """
    rows = []
    for model, of_model in metrics.items():
        low, high = wilson_interval(int(correct[model].sum()), len(correct))
        rows.append(
            {
                "Model": model,
                "Test Accuracy": of_model["test"]["accuracy"],
                "Test Accuracy Low": round(low, 6),
                "Test Accuracy High": round(high, 6),
                "Test Loss": of_model["test"]["loss"],
                "Macro F1": of_model["test"]["macro_f1"],
                "Final Train Accuracy": of_model["train"]["final_accuracy"],
                "Best Val Accuracy": of_model["val"]["accuracy"],
                "Initial Epochs": of_model["epochs"]["initial"],
                "Fine-tune Epochs": of_model["epochs"]["fine_tune"],
                "Parameters": of_model["model"]["parameters"],
                "Milliseconds per Image": of_model["timing"]["milliseconds_per_image"],
            }
        )
    val_loss = {model: of_model["val"]["loss"] for model, of_model in metrics.items()}
    rows.sort(key=lambda row: (-row["Best Val Accuracy"], val_loss[row["Model"]], row["Model"]))
    return pd.DataFrame(rows)


def judge(models: list[str], correct: pd.DataFrame) -> pd.DataFrame:
    """Hold every model against the first on the same test photos.

    Parameters
    ----------
    models : list of str
        The winner by validation first.
    correct : DataFrame
        Booleans, one row a photo and one column a model.

    Returns
    -------
    DataFrame
        For each model but the first: model, difference (its test accuracy
        less the first's, in percentage points) and p (McNemar's exact test,
        corrected by Holm's method).
    """
    winner, *others = models
    accuracy = 100 * correct.mean()
    return pd.DataFrame(
        {
            "model": others,
            "difference": [accuracy[model] - accuracy[winner] for model in others],
            "p": holm([mcnemar(correct[model], correct[winner]) for model in others]),
        }
    )


def as_json(header: Header, comparison: pd.DataFrame, verdict: pd.DataFrame) -> dict[str, Any]:
    """Return the header, and below it the comparison by model in the table's order."""
    keys = {column: re.sub("[ -]", "_", column.lower()) for column in comparison}
    models = comparison.rename(columns=keys).set_index("model").to_dict("index")
    for row in verdict.itertuples():
        models[row.model]["points_from_best"] = round(row.difference, 6)
        models[row.model]["p_holm"] = round(row.p, 6)
    return header._asdict() | {"models": models}


def as_markdown(header: Header, comparison: pd.DataFrame, verdict: pd.DataFrame) -> str:
    """Return the report that people read."""
    lines = [
        "# Comparison of the models",
        "",
        f"Dataset {header.dataset} ({header.test_photos} test photos), split {header.split}, "
        f"pretrained weights {header.weights}, training seed {header.seed}.",
        "",
        *markdown_table(comparison),
        "",
        "Sorted by best validation accuracy: the test split must not pick the winner.",
        "In brackets the 95% Wilson interval: how far the draw of the test photos may have moved",
        "the figure; another training seed would move it as well.",
        "",
        f"![Accuracy with its interval, and recall by class]({REPORT.name}.png)",
    ]
    if not verdict.empty:
        lines += [
            "",
            "## Is the difference chance?",
            "",
            summary(comparison["Model"].iloc[0], verdict),
            "",
            *(
                f"- {sentence(row.model, row.difference, row.p, header.test_photos)}"
                for row in verdict.itertuples()
            ),
            "",
            "p: McNemar's exact test on the photos that only one of the two models has right,",
            "corrected by Holm's method for the number of comparisons.",
        ]
    return "\n".join(lines) + "\n"


def markdown_table(comparison: pd.DataFrame) -> list[str]:
    """Return the table's lines, the test accuracy in one column with its interval."""
    shown = pd.DataFrame({"Model": comparison["Model"]})
    shown["Test Accuracy"] = [
        f"{accuracy:.3f} [{low:.3f}, {high:.3f}]"
        for accuracy, low, high in zip(
            comparison["Test Accuracy"],
            comparison["Test Accuracy Low"],
            comparison["Test Accuracy High"],
            strict=True,
        )
    ]
    formats = {
        "Test Loss": "{:.3f}",
        "Macro F1": "{:.3f}",
        "Final Train Accuracy": "{:.3f}",
        "Best Val Accuracy": "{:.3f}",
        "Initial Epochs": "{}",
        "Fine-tune Epochs": "{}",
        "Parameters": "{:,}",
        "Milliseconds per Image": "{:.1f}",
    }
    for column, style in formats.items():
        shown[column] = comparison[column].map(style.format)
    # Padded, because people read this file in a terminal too.
    widths = [max(len(name), *map(len, shown[name])) for name in shown]
    rows = [
        list(shown),
        ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])],
        *shown.to_numpy().tolist(),
    ]
    return [
        "| "
        + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]


def summary(winner: str, verdict: pd.DataFrame) -> str:
    """Say how far the test photos bear out the choice by validation."""
    certain = verdict[verdict["p"] < CHANCE]
    worse = ", ".join(certain.loc[certain["difference"] < 0, "model"]) or "none"
    better = ", ".join(certain.loc[certain["difference"] > 0, "model"]) or "none"
    if certain.empty:
        return f"{winner} is best on validation; on test, chance may explain every difference."
    return (
        f"{winner} is best on validation. On test, by more than chance, "
        f"these are worse: {worse}; these are better: {better}."
    )


def sentence(model: str, difference: float, p: float, test_photos: int) -> str:
    """Say how a model did against the winner; `difference` is in percentage points."""
    if difference == 0:
        return f"{model} has as many of the {test_photos} test photos right."
    size = abs(difference)
    points = f"{size:{'.1f' if size >= 0.05 else '.2g'}} points"
    direction = "lower" if difference < 0 else "higher"
    # Three digits, so that not both sides of `CHANCE` read as 0.05.
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3g}"
    verdict = "that is hardly chance" if p < CHANCE else "that may be chance"
    return (
        f"{model} is {points} {direction} on the {test_photos} test photos; "
        f"{shown} after Holm's correction: {verdict}."
    )


if __name__ == "__main__":
    run_stage(main)
