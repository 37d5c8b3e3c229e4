"""Running the grid as DVC experiments, and reading what they left in git."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from trashnet.errors import PipelineError
from trashnet.progress import progress_bar
from trashnet.study.execution import run_experiment
from trashnet.study.git import git
from trashnet.study.grid import Run, Setting, describe, hash_workspace

EXPERIMENTS = "refs/exps"
FETCHED = re.compile(
    r"^  ((?:download|split|pretrained@\S+):\n(?: {4}.*\n)+?) {4}outs:\n((?: {4}.*\n)+)", re.M
)
"""The stages of dvc.lock that take something from outside of the repository: what, and its hash."""


def run_grid(
    runs: Sequence[Run],
    folder: Path = Path(),
    execute: "Callable[[Run, Path], str | None] | None" = None,
    address: str | None = None,
) -> dict[str, str]:
    """Run what has not been run; a failure does not stop the rest.

    Parameters
    ----------
    runs : sequence of Run
        The whole grid.
    folder : Path
        The repository's root.
    execute : callable, optional
        Runs one and returns why it failed, or None; `run_experiment` by default.
    address : str, optional
        Of a Ray cluster to run them on instead.

    Returns
    -------
    dict
        The names of the runs that failed, and why.

    Raises
    ------
    PipelineError
        If there is something to run and DVC cannot run it in this folder, or
        if the parameters or the code change meanwhile.
    """
    finished = find_experiments(folder)
    waiting = [run for run in runs if run.name not in finished]
    if waiting:
        check_folder(folder)
    failed: dict[str, str] = {}
    with progress_bar(len(runs), "experiments", "run") as bar:
        bar.update(len(runs) - len(waiting))
        # The time left is that of what is left, not of what an earlier call did.
        bar.unpause()

        def note(run: Run, reason: str | None) -> None:
            if reason:
                failed[run.name] = reason
                bar.write(f"study: {run.name} failed: {reason}", file=sys.stderr)
            bar.update()

        if address and waiting:
            from trashnet.study.nodes import run_on_nodes  # noqa: PLC0415

            run_on_nodes(address, waiting, folder, note)
            return failed
        workspace = hash_workspace(folder)
        for run in waiting:
            # DVC runs what stands here now, and the names say what stood here at the start.
            if hash_workspace(folder) != workspace:
                raise PipelineError(
                    "params.yaml, the code or corrections/ changed while the study ran; change "
                    "them back (git checkout params.yaml, and git stash pop if git stash list "
                    "names changes of yours) and run the same command to go on, or run it with "
                    "the changes to start anew."
                )
            bar.set_postfix_str(run.name.rpartition("-")[0])
            note(run, (execute or run_experiment)(run, folder))
    return failed


def check_fetched(runs: Sequence[Run], folder: Path = Path()) -> None:
    """Raise where photos, weights or lists were fetched anew since some of these runs.

    Their addresses stand in a run's name, and what came from there in the
    dvc.lock that it committed.
    """
    lock = folder / "dvc.lock"
    brought = read_fetched(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    finished = find_experiments(folder)
    others = []
    for run in runs:
        if run.name in finished:
            of_run = read_fetched(read_file(finished[run.name], "dvc.lock", folder))
            brought = of_run | brought
            if of_run.items() - brought.items():
                others.append(run.name)
    if others:
        raise PipelineError(
            "photos, weights or lists were fetched anew since some runs of this study, which "
            f"therefore do not compare; forget those with `dvc exp remove {' '.join(others)}`, or "
            "bring back what they used with `git checkout dvc.lock` and `dvc checkout`."
        )


def read_fetched(lock: str) -> dict[str, str]:
    """Return what the stages that fetch were asked and what came of it, as dvc.lock has them."""
    return dict(FETCHED.findall(lock))


def check_folder(folder: Path) -> None:
    """Raise where DVC fails on its own: it writes a copy's configuration in ASCII alone.

    Seen in DVC 3.67.1 with configobj 5.0.9.
    """
    path = str(folder.resolve())
    settings = git(folder, "config", "--local", "--list").splitlines()
    for text in (path, *settings):
        if not text.isascii():
            raise PipelineError(
                "DVC copies a repository for its experiments only where its path and its git "
                f"configuration are plain ASCII, and {text} is not; move the clone, or change "
                "that line of .git/config."
            )


def find_experiments(folder: Path = Path()) -> dict[str, str]:
    """Return the commit of every finished experiment by its name, the newest where several are."""
    form = "--format=%(objectname) %(refname)"
    listed = git(folder, "for-each-ref", "--sort=committerdate", form, EXPERIMENTS)
    found = {}
    for line in listed.splitlines():
        commit, _, reference = line.partition(" ")
        parts = reference.removeprefix(f"{EXPERIMENTS}/").split("/")
        if len(parts) == 3:  # two digits of the baseline's hash, the rest of it, the name
            found[parts[2]] = commit
    return found


def rarest_class(results: pd.DataFrame, baseline: Setting, folder: Path = Path()) -> str:
    """Return the class with the fewest test photos, which all compared with the baseline share.

    Raises
    ------
    PipelineError
        If the baseline has no finished run.
    """
    base = describe(baseline)
    of_baseline = results[results["setting"] == base]
    if of_baseline.empty:
        raise PipelineError(f"The baseline {base} has no finished run; mend its failure first.")
    first = of_baseline.iloc[0]
    text = read_file(first["commit"], f"metrics/{first['model']}/predictions-test.csv", folder)
    labels = pd.read_csv(StringIO(text), dtype="str", keep_default_na=False)["label"]
    return str(labels.value_counts().sort_index().idxmin())


def read_file(commit: str, path: str, folder: Path = Path()) -> str:
    """Read a text file as an experiment committed it."""
    return git(folder, "show", f"{commit}:{path}")


def read_models(commit: str, folder: Path = Path()) -> list[str]:
    """Return the models that an experiment compared, the best on validation first."""
    return list(json.loads(read_file(commit, "reports/comparison.json", folder))["models"])


def read_metrics(commit: str, model: str, folder: Path = Path()) -> dict[str, Any]:
    """Read a model's metrics as an experiment committed them."""
    metrics: dict[str, Any] = json.loads(read_file(commit, f"metrics/{model}.json", folder))
    return metrics


def hash_val_photos(commit: str, model: str, folder: Path = Path()) -> str:
    """Hash which photos with which labels validated a model: others are not comparable there."""
    text = read_file(commit, f"metrics/{model}/predictions-val.csv", folder)
    table = pd.read_csv(StringIO(text), dtype="str", keep_default_na=False)
    photos = table[["path", "label"]].sort_values(["path", "label"]).to_csv(index=False)
    return hashlib.sha256(photos.encode()).hexdigest()[:12]


def read_correctness(commit: str, model: str, folder: Path = Path()) -> "pd.Series[bool]":
    """Read whether a model had each test photo right, by path and label."""
    text = read_file(commit, f"metrics/{model}/predictions-test.csv", folder)
    table = pd.read_csv(StringIO(text), dtype="str", keep_default_na=False)
    correct = table["label"] == table["predicted"]
    correct.index = pd.MultiIndex.from_frame(table[["path", "label"]])
    return correct
