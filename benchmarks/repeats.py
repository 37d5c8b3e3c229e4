"""Mean and spread of each model's accuracy over experiments that differ in seed or fold.

In the folder where they were run, e.g. as cv-1 to cv-5:

    python -m benchmarks.repeats 'cv-*'
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import pandas as pd
from dvc.api import exp_show

from benchmarks import run_benchmark

REPORTED = r"models\.(?P<model>[^.]+)\.(?P<score>best_val_accuracy|test_accuracy)"
"""What `compare` writes into reports/comparison.json."""

TITLES = {"best_val_accuracy": "Validation accuracy", "test_accuracy": "Test accuracy"}


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", help="the experiments' names, * for any characters")
    names = parser.parse_args().names
    accuracies = accuracies_of(exp_show(), names)
    if accuracies.empty:
        sys.exit(f"No experiment here is called {names}; `dvc exp show` lists their names.")
    titles = [f"{title}, mean ± sd (each)" for title in TITLES.values()]
    print(f"| Model | Runs | {' | '.join(titles)} |\n|---|---|---|---|")
    for model, of_model in accuracies.groupby("model"):
        texts = [text(of_model[score]) for score in TITLES]
        print(f"| {model} | {len(of_model)} | {' | '.join(texts)} |")


def accuracies_of(experiments: Sequence[Mapping[str, object]], names: str) -> pd.DataFrame:
    """Gather what the experiments of these names say of each model.

    Parameters
    ----------
    experiments : sequence of mappings
        As `dvc.api.exp_show` returns them: one key a metric, "None" where an
        experiment lacks it.
    names : str
        Pattern of `fnmatch`.

    Returns
    -------
    DataFrame
        Columns model, best_val_accuracy and test_accuracy, in [0, 1]; a row a
        model and experiment, in the order of the experiments' names.
    """
    # The workspace and the branch have no name.
    named = [row for row in experiments if row["Experiment"] is not None]
    chosen = [row for row in named if fnmatchcase(str(row["Experiment"]), names)]
    if not chosen:
        return pd.DataFrame()
    values = pd.DataFrame(sorted(chosen, key=lambda row: str(row["Experiment"])))
    scores = values.filter(regex=f"^{REPORTED}$").apply(pd.to_numeric, errors="coerce")
    scores.columns = pd.MultiIndex.from_frame(scores.columns.str.extract(REPORTED))
    return scores.stack("model", future_stack=True).dropna().reset_index("model")


def text(accuracies: "pd.Series[float]") -> str:
    """Write mean, standard deviation (with n - 1) and each value, in thousandths; one by itself."""
    if len(accuracies) == 1:
        return f"{accuracies.iloc[0]:.3f}"
    each = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    return f"{accuracies.mean():.3f} ± {accuracies.std():.3f} ({each})"


if __name__ == "__main__":
    run_benchmark(main)
