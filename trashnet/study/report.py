"""The report of a study: a verdict a model in words and numbers, tables, a picture."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trashnet.files import atomic_file, write_text
from trashnet.params import public_address
from trashnet.study.grid import Run, Setting, describe
from trashnet.study.judgement import Verdict, shared_seeds, why_nothing
from trashnet.study.pages import Block, as_html, as_markdown
from trashnet.study.picture import draw
from trashnet.study.verdict import LEAST_SEEDS, LEVEL, Finding, photos_needed, smallest_visible


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
        # One setting by itself is held against nothing.
        if said := sentences(verdict, results, base, rarest, comparisons):
            blocks += [("h2", verdict.model), ("ul", said)]
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
    differences = [
        found.difference for found in findings.values() if found.difference.seeds >= LEAST_SEEDS
    ]
    if shown := [setting for setting, found in findings.items() if found.is_shown]:
        return (
            f"By more than chance, the {measure} of {', '.join(shown)} differs from that of {base}."
        )
    if not differences:
        return (
            f"No difference in {measure} can be shown with fewer than {LEAST_SEEDS} seeds, which "
            "compare trainings and not settings; add some, as in seed=1..5, or mend the runs that "
            "failed."
        )
    visible = max(smallest_visible(difference, comparisons) for difference in differences)
    if photos_needed(comparisons) > differences[0].photos:
        return (
            f"No difference in {measure} can be shown with {differences[0].photos} test photos and "
            f"{comparisons} comparisons: had all of them changed, it could still be chance."
        )
    if visible == 1:
        seeds = min(difference.seeds for difference in differences)
        return (
            f"No difference in {measure} could be shown: {seeds} seeds spread so widely that they "
            "hide any; add more seeds."
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
        f"{setting}: {measure} {mean} points [{low}, {high}], p = {_p(found.p_holm)} after Holm's "
        f"correction: {'hardly chance' if found.is_shown else 'may be chance'}."
    )


def _p(value: float) -> str:
    """Write a p value with two digits, or so many that it stays on its side of the level."""
    texts = (f"{value:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if (float(text) < LEVEL) == (value < LEVEL))


def tell_recommendation(verdict: Verdict, results: pd.DataFrame, base: str) -> str:
    """Say what validation recommends, on which seeds, and what that brings on test."""
    of_model = results[results["model"] == verdict.model]
    if verdict.recommended is None:
        return f"Validation recommends nothing: {why_nothing(of_model, base)}"
    compared = shared_seeds(of_model, base)
    few = [name for name in of_model["setting"].unique() if name not in {base, *compared}]
    left_out = f" Too few seeds have finished to recommend {', '.join(few)}." if few else ""
    if verdict.recommended == base:
        of_base = of_model[of_model["setting"] == base]
        return (
            f"Validation recommends to stay with {base} (validation accuracy "
            f"{of_base['val_accuracy'].mean():.3f}, {_seeds(of_base['seed'])}).{left_out}"
        )
    both = compared[verdict.recommended]
    means = both.mean(numeric_only=True)
    brought = 100 * (means["test_accuracy"] - means["test_accuracy_base"])
    on_test = f"; on test that choice brings {brought:+.1f} points"
    return (
        f"Validation recommends {verdict.recommended} (validation accuracy "
        f"{means['val_accuracy']:.3f} against {means['val_accuracy_base']:.3f} of {base}, "
        f"{_seeds(both.index)})"
        f"{'' if verdict.recommended in verdict.unjudged else on_test}.{left_out}"
    )


def _seeds(numbers: Iterable[int]) -> str:
    named = sorted(set(numbers))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"


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
