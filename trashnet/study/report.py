"""The report of a study: tables, a verdict a model in words and numbers, a picture."""

import base64
import html
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t

from trashnet.errors import PipelineError
from trashnet.files import atomic_file, write_text
from trashnet.params import public_address
from trashnet.study.experiments import (
    hash_val_photos,
    read_correctness,
    read_metrics,
    read_models,
)
from trashnet.study.grid import Run, Setting, describe
from trashnet.study.verdict import LEAST_SEEDS, Finding, Pair, find_all, smallest_visible

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: auto; padding: 1rem; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
img { max-width: 100%; }
"""


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
        The setting with the highest mean validation accuracy; the baseline
        where it is among the highest; None where settings were validated on
        different photos.
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
        of which), the varied parameters, experiment, commit.
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
            f"{setting} and {base} were tested on other photos, so they cannot be compared; "
            "do not vary what changes the split."
        )
    return both.iloc[:, : len(seeds)], both.iloc[:, len(seeds) :]


def recommend(of_model: pd.DataFrame, base: str) -> str | None:
    """Choose on validation alone: the test split must not pick the winner."""
    if why_nothing(of_model, base):
        return None
    means = on_common_seeds(of_model).groupby("setting", sort=False)["val_accuracy"].mean()
    best = means[means >= means.max() - 1e-9].index
    return base if base in best else str(best[0])


def why_nothing(of_model: pd.DataFrame, base: str) -> str:
    """Say why validation cannot choose among a model's settings; empty where it can."""
    if base not in set(of_model["setting"]):
        return f"no run of {base} with this model has finished."
    if of_model["val_photos"].nunique() > 1:
        return (
            "the settings were validated on different photos, so their validation accuracies do "
            "not compare."
        )
    if on_common_seeds(of_model).empty:
        return "no seed has finished with every setting."
    return ""


def on_common_seeds(of_model: pd.DataFrame) -> pd.DataFrame:
    """Leave out seeds that some setting lacks: a hard one that failed there would flatter it."""
    settings = of_model.groupby("seed")["setting"].nunique()
    common = settings[settings == of_model["setting"].nunique()].index
    return of_model[of_model["seed"].isin(common)]


def sentences(
    verdict: Verdict, results: pd.DataFrame, base: str, rarest: str, comparisons: int
) -> list[str]:
    """Put a model's verdict, one of so many comparisons of each measure, into words."""
    said = [
        *tell_findings(verdict.accuracy, "accuracy", base, comparisons),
        *tell_findings(verdict.rarest_recall, f"recall of {rarest}", base, comparisons),
        *(f"No verdict on {setting}: {reason}" for setting, reason in verdict.unjudged.items()),
    ]
    if results["setting"].nunique() > 1:
        said.append(tell_recommendation(verdict, results, base))
    return said


def tell_findings(
    findings: dict[str, Finding], measure: str, base: str, comparisons: int
) -> list[str]:
    """Say whether a measure differs from the baseline's, then by how much, in points (percent)."""
    if not findings:
        return []
    return [
        _summarize(findings, measure, base, comparisons),
        *(_tell(measure, setting, found) for setting, found in findings.items()),
    ]


def _summarize(findings: dict[str, Finding], measure: str, base: str, comparisons: int) -> str:
    differences = [found.difference for found in findings.values()]
    if shown := [setting for setting, found in findings.items() if found.is_shown]:
        return (
            f"By more than chance, the {measure} of {', '.join(shown)} differs from that of {base}."
        )
    if all(difference.seeds < LEAST_SEEDS for difference in differences):
        return (
            f"No difference in {measure} can be shown with fewer than {LEAST_SEEDS} seeds, which "
            "compare trainings and not settings; add seed=1..5."
        )
    visible = max(smallest_visible(difference, comparisons) for difference in differences)
    if visible == 1:
        return (
            f"No difference in {measure} can be shown with {differences[0].photos} test photos and "
            f"{comparisons} comparisons: had all of them changed, it could still be chance."
        )
    return (
        f"No difference in {measure} could be shown; four of five such studies would show one of "
        f"{100 * visible:.1f} points."
    )


def _tell(measure: str, setting: str, found: Finding) -> str:
    difference = found.difference
    mean, low, high = (
        f"{100 * share:+.1f}" for share in (difference.mean, difference.low, difference.high)
    )
    return (
        f"{setting}: {measure} {mean} points [{low}, {high}], p = {found.p_holm:.2g} after Holm's "
        f"correction: {'hardly chance' if found.is_shown else 'may be chance'}."
    )


def tell_recommendation(verdict: Verdict, results: pd.DataFrame, base: str) -> str:
    """Say what validation recommends, and what that brings on test."""
    of_model = results[results["model"] == verdict.model]
    if verdict.recommended is None:
        return f"Validation recommends nothing: {why_nothing(of_model, base)}"
    means = on_common_seeds(of_model).groupby("setting")
    val, test = means["val_accuracy"].mean(), means["test_accuracy"].mean()
    if verdict.recommended == base:
        return f"Validation recommends to stay with {base} (validation accuracy {val[base]:.3f})."
    brought = 100 * (test[verdict.recommended] - test[base])
    return (
        f"Validation recommends {verdict.recommended} (validation accuracy "
        f"{val[verdict.recommended]:.3f} against {val[base]:.3f} of {base}); on test that choice "
        f"brings {brought:+.1f} points."
    )


def summary_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over seeds, as text, one row a model and setting.

    One seed has no standard deviation and is given alone.
    """
    numbers = [
        name
        for name in results
        if name in {"test_accuracy", "macro_f1", "val_accuracy"} or str(name).startswith("recall_")
    ]
    groups = results.groupby(["model", "setting"], sort=False)
    means, spreads = groups[numbers].mean(), groups[numbers].std()
    table = pd.DataFrame(
        {name: list(map(_text, means[name], spreads[name])) for name in numbers},
        index=means.index,
    )
    table.insert(0, "seeds", groups.size())
    return table.reset_index()


def _text(mean: float, spread: float) -> str:
    return f"{mean:.3f}" if np.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"


def write_report(
    target: Path,
    runs: Sequence[Run],
    results: pd.DataFrame,
    verdicts: Sequence[Verdict],
    baseline: Setting,
    failed: dict[str, str],
    rarest: str,
) -> None:
    """Write report.md, results.csv, picture.png and index.html into `target`."""
    listed = results.map(_public)
    picture = draw(listed, rarest)
    with atomic_file(target / "results.csv") as partial:
        listed.to_csv(partial, index=False)
    with atomic_file(target / "picture.png") as partial:
        partial.write_bytes(picture)
    blocks = [
        (kind, _public(content))
        for kind, content in tell(runs, results, verdicts, baseline, failed, rarest)
    ]
    write_text(target / "report.md", as_markdown(blocks))
    write_text(target / "index.html", as_html(blocks, picture))


def _public(content: Any) -> Any:
    match content:
        case str():
            return public_address(content)
        case list():
            return [_public(item) for item in content]
        case pd.DataFrame():
            return content.map(_public)
    return content


Block = tuple[str, Any]
"""A heading, paragraph, list, table or the picture: its kind and its content."""


def tell(
    runs: Sequence[Run],
    results: pd.DataFrame,
    verdicts: Sequence[Verdict],
    baseline: Setting,
    failed: dict[str, str],
    rarest: str,
) -> list[Block]:
    """Return the report as blocks, for Markdown and HTML alike."""
    base = describe(baseline)
    comparisons = sum(len(verdict.accuracy) for verdict in verdicts)
    seeds = sorted(set(results["seed"]))
    settings = list(dict.fromkeys(describe(run.setting) for run in runs))
    done = (
        f"seeds {', '.join(map(str, seeds))}; {results['experiment'].nunique()} of {len(runs)} "
        "runs finished."
    )
    compared = (
        f"{len(settings)} settings ({'; '.join(settings)}), {done} Every setting is held against "
        f"{base}, on the same seeds and test photos."
    )
    of_all = [each for each in runs[0].overrides if all(each in run.overrides for run in runs)]
    blocks: list[Block] = [
        ("h1", f"Study of {', '.join(runs[0].setting) or 'the seed'}"),
        ("p", compared if len(settings) > 1 else done.capitalize()),
    ]
    if of_all:
        blocks.append(("p", f"For all runs: {', '.join(of_all)}."))
    if failed:
        blocks += [
            ("h2", "Failed"),
            ("ul", [f"{name}: {reason}" for name, reason in failed.items()]),
        ]
    for verdict in verdicts:
        blocks += [
            ("h2", verdict.model),
            ("ul", sentences(verdict, results, base, rarest, comparisons)),
        ]
    listed = results.drop_duplicates("experiment")
    return [
        *blocks,
        ("h2", "Picture"),
        ("img", "picture.png"),
        ("h2", "Mean and standard deviation over seeds"),
        ("table", summary_table(results)),
        ("h2", "How to read this"),
        (
            "p",
            "Brackets: 95% bootstrap interval over seeds and test photos. p: the larger of "
            "McNemar's exact test on the majority of the seeds, which says whether other photos "
            "could have turned it, and the paired t test over seeds, which says whether other "
            "trainings could; corrected by Holm's method for all comparisons of this "
            "measure. A difference counts as shown where p is below 0.05, the interval leaves out "
            f"zero and there are {LEAST_SEEDS} seeds or more; smaller ones than four of five "
            "studies would show are seen less often. "
            "Settings are recommended by validation accuracy; the test split only reports what "
            "that choice brings.",
        ),
        ("h2", "Experiments"),
        (
            "table",
            listed[["experiment", "setting", "seed", "commit"]].assign(
                commit=listed["commit"].str[:12]
            ),
        ),
        ("p", "dvc exp apply NAME brings one back, dvc exp branch NAME BRANCH makes it a branch."),
    ]


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return the blocks as Markdown."""
    parts = []
    for kind, content in blocks:
        match kind:
            case "h1" | "h2":
                parts.append(f"{'#' * int(kind[1])} {content}")
            case "ul":
                parts.append("\n".join(f"- {item}" for item in content))
            case "img":
                parts.append(f"![Accuracy and recall by setting]({content})")
            case "table":
                head = f"| {' | '.join(map(str, content))} |\n|{'---|' * content.shape[1]}"
                rows = [f"| {' | '.join(map(str, row))} |" for row in content.to_numpy()]
                parts.append("\n".join([head, *rows]))
            case _:
                parts.append(content)
    return "\n\n".join(parts) + "\n"


def as_html(blocks: Sequence[Block], picture: bytes) -> str:
    """Return the blocks as one page that needs nothing else, the picture inside."""
    parts = []
    for kind, content in blocks:
        match kind:
            case "ul":
                items = "".join(f"<li>{html.escape(item)}</li>" for item in content)
                parts.append(f"<ul>{items}</ul>")
            case "img":
                data = base64.b64encode(picture).decode()
                parts.append(
                    f'<img alt="Accuracy and recall by setting" src="data:image/png;base64,{data}">'
                )
            case "table":
                parts.append(content.to_html(index=False, border=0))
            case _:
                parts.append(f"<{kind}>{html.escape(content)}</{kind}>")
    title = html.escape(str(blocks[0][1]))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


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
