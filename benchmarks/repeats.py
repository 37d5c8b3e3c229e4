"""Mean and spread of each model's accuracy over experiments that differ in seed or fold.

In the folder where they were run, e.g. as cv-1 to cv-5:

    python -m benchmarks.repeats 'cv-*'
"""

import argparse
import json
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from benchmarks import run_benchmark
from trashnet.errors import PipelineError
from trashnet.study.experiments import find_experiments, read_file

COMPARISON = "reports/comparison.json"

TITLES = {"best_val_accuracy": "Validation accuracy", "test_accuracy": "Test accuracy"}


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", help="the experiments' names, * for any characters")
    names = parser.parse_args().names
    accuracies = read_accuracies(names)
    titles = [f"{title}, mean ± sd (each)" for title in TITLES.values()]
    print(f"| Model | Runs | {' | '.join(titles)} |\n|---|---|---|---|")
    for model, of_model in accuracies.groupby("model"):
        texts = [text(of_model[score]) for score in TITLES]
        print(f"| {model} | {len(of_model)} | {' | '.join(texts)} |")


def read_accuracies(names: str, folder: Path = Path()) -> pd.DataFrame:
    """Read what the experiments of these names, on whatever commit, say of each model.

    Parameters
    ----------
    names : str
        Pattern of `fnmatch`.
    folder : Path
        The repository's root.

    Returns
    -------
    DataFrame
        Columns model, best_val_accuracy and test_accuracy, in [0, 1]; a row a
        model and experiment, in the order of the experiments' names.

    Raises
    ------
    PipelineError
        If there is no such experiment.
    """
    rows = [
        {"model": model, **{score: scores[score] for score in TITLES}}
        for name, commit in sorted(find_experiments(folder).items())
        if fnmatchcase(name, names)
        for model, scores in json.loads(read_file(commit, COMPARISON, folder))["models"].items()
    ]
    if not rows:
        raise PipelineError(
            f"No experiment here is called {names}; `dvc exp show -A` lists their names."
        )
    return pd.DataFrame(rows)


def text(accuracies: "pd.Series[float]") -> str:
    """Write mean, standard deviation (with n - 1) and each value, in thousandths; one by itself."""
    if len(accuracies) == 1:
        return f"{accuracies.iloc[0]:.3f}"
    each = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    return f"{accuracies.mean():.3f} ± {accuracies.std():.3f} ({each})"


if __name__ == "__main__":
    run_benchmark(main)
