"""Studies: what a report says of the finished runs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_work import answers, commit_run

from trashnet.errors import PipelineError
from trashnet.study.experiments import find_experiments, rarest_class
from trashnet.study.grid import Run, make_grid
from trashnet.study.judgement import collect, judge
from trashnet.study.pages import as_markdown
from trashnet.study.picture import draw
from trashnet.study.report import (
    sentences,
    summary_table,
    tell_findings,
    tell_recommendation,
    write_report,
)
from trashnet.study.verdict import find_all


@pytest.fixture
def finished(repository: Path) -> tuple[Path, list[Run], pd.DataFrame]:
    """Return a finished study: alpha 1 hurts MobileNet and does nothing to MobileNetV2."""
    runs = make_grid(["alpha=0.2,1", "seed=1..4"], [], repository)
    for run in runs:
        hurt = run.setting["alpha"] == 1
        correct = {
            "MobileNet": answers(0.85 if hurt else 0.95, 300, 4)[run.seed - 1],
            "MobileNetV2": answers(0.9, 300, 4, draw=5 + hurt)[run.seed - 1],
        }
        commit_run(repository, run, correct, val=0.8 if hurt else 0.9)
    return repository, runs, collect(runs, find_experiments(repository), repository)


def test_results_have_a_row_a_run_and_model(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, runs, results = finished

    assert len(results) == 2 * len(runs)
    assert set(results["setting"]) == {"alpha=0.2", "alpha=1"}
    assert {"recall_trash", "macro_f1", "val_accuracy", "commit"} <= set(results)


def test_verdict_finds_the_harm_and_nothing_else(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    hurt, unmoved = judge(results, {"alpha": 0.2}, "trash", repository)

    assert (hurt.model, unmoved.model) == ("MobileNet", "MobileNetV2")
    found = hurt.accuracy["alpha=1"]
    assert found.is_shown
    assert found.difference.mean == pytest.approx(-0.1, abs=0.02)
    assert found.p_holm >= found.difference.p
    assert not unmoved.accuracy["alpha=1"].is_shown


def test_rarest_class_has_a_verdict_of_its_own(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    hurt, _ = judge(results, {"alpha": 0.2}, "trash", repository)

    means = results[results["model"] == "MobileNet"].groupby("setting")["recall_trash"].mean()
    expected = means["alpha=1"] - means["alpha=0.2"]
    assert hurt.rarest_recall["alpha=1"].difference.mean == pytest.approx(expected)


def test_model_of_one_setting_alone_has_no_section(repository: Path, tmp_path: Path) -> None:
    runs = make_grid(["seed=1,2"], [], repository)
    for run in runs:
        commit_run(repository, run, {"MobileNet": answers(0.9, 300, 2)[run.seed - 1]}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)
    verdicts = judge(results, {}, "trash", repository)

    write_report(tmp_path / "report", runs, results, verdicts, {}, {}, "trash")

    titles = re.findall("^#+ .*", (tmp_path / "report/report.md").read_text(), re.MULTILINE)
    assert "## MobileNet" not in titles
    assert "## Picture" in titles


@pytest.mark.parametrize("other", [{"val_photos": 20}, {"val_label": "paper"}])
def test_other_validation_photos_or_labels_recommend_nothing(
    other: dict[str, Any], finished: tuple[Path, list[Run], pd.DataFrame]
) -> None:
    repository, runs, _ = finished
    right = {"MobileNet": answers(0.95, 300, 4)[0]}
    for run in runs:
        commit_run(repository, run, right, val=0.9, **(other if run.setting["alpha"] == 1 else {}))
    results = collect(runs, find_experiments(repository), repository)

    (verdict,) = judge(results, {"alpha": 0.2}, "trash", repository)

    said = tell_recommendation(verdict, results, "alpha=0.2")
    assert said.startswith("Validation recommends nothing")


def test_baseline_without_a_run_is_refused(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    with pytest.raises(PipelineError, match=r"alpha=0\.5 has no finished run"):
        rarest_class(results, {"alpha": 0.5}, repository)


def test_other_test_photos_are_not_compared(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, runs, _ = finished
    commit_run(repository, runs[0], {"MobileNet": np.ones(100, bool)}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)

    of_mobilenet, _ = judge(results, {"alpha": 0.2}, "trash", repository)

    assert "other photos or labels" in of_mobilenet.unjudged["alpha=1"]


def test_one_setting_that_cannot_be_judged_costs_the_others_nothing(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished
    of_model = results[results["model"] == "MobileNet"]
    baseline = of_model["setting"] == "alpha=0.2"
    first_seed = of_model["seed"] == 1
    other_seeds = of_model[baseline & ~first_seed].assign(setting="alpha=0")
    kept = pd.concat([of_model[~baseline | first_seed], other_seeds])

    (verdict,) = judge(kept, {"alpha": 0.2}, "trash", repository)

    assert set(verdict.accuracy) == {"alpha=1"}
    said = sentences(verdict, kept, "alpha=0.2", "trash", 1)
    assert "No verdict on alpha=0: alpha=0 and alpha=0.2 have no finished seed in common." in said


def test_names_that_look_like_formulas_are_drawn(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, _, results = finished
    odd = results.rename(columns={"recall_trash": "recall_$_$"}).assign(setting="optimizer=$_$")

    assert draw(odd, "$_$").startswith(b"\x89PNG")


def test_a_name_with_bars_is_one_cell_of_a_table() -> None:
    table = pd.DataFrame({"setting": ["optimizer=a|b"], "recall_a|b": ["0.900"], "c\\|d": [1]})

    written = as_markdown([("table", table)])

    assert written.splitlines() == [
        r"| setting | recall_a\|b | c\\\|d |",
        "|---|---|---|",
        r"| optimizer=a\|b | 0.900 | 1 |",
    ]


def test_report_is_whole_and_opens_offline(
    finished: tuple[Path, list[Run], pd.DataFrame], tmp_path: Path
) -> None:
    repository, runs, results = finished
    verdicts = judge(results, {"alpha": 0.2}, "trash", repository)
    target = tmp_path / "report"

    write_report(
        target, runs, results, verdicts, {"alpha": 0.2}, {"x-1": "train: <failed>"}, "trash"
    )

    text = (target / "report.md").read_text()
    page = (target / "index.html").read_text()
    for said in (
        "By more than chance, the accuracy of alpha=1 differs",
        "No difference in accuracy could be shown",
        "alpha=1: recall of trash",
        runs[0].name,
    ):
        assert said in text
        assert said in page
    assert (
        "Validation recommends to stay with alpha=0.2 (validation accuracy 0.900, seeds 1, 2"
        in text
    )
    assert "train: &lt;failed&gt;" in page
    assert "data:image/png;base64" in page
    assert "http" not in page
    assert len(pd.read_csv(target / "results.csv")) == len(results)


def test_one_seed_has_no_standard_deviation(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, _, results = finished

    one, four = summary_table(results[results["seed"] == 1]), summary_table(results)

    assert one["val_accuracy"].tolist()[:2] == ["0.900", "0.900"]
    assert four["val_accuracy"].tolist()[:2] == ["0.900 ± 0.000", "0.900 ± 0.000"]


@pytest.mark.parametrize(
    ("seeds", "photos", "said"),
    [
        (1, 430, "with fewer than 3 seeds, which compare trainings and not settings"),
        (5, 6, "with 6 test photos and 2 comparisons: had all of them changed"),
        (5, 430, "could be shown; four of five such studies"),
    ],
)
def test_what_cannot_be_shown_says_why(seeds: int, photos: int, said: str) -> None:
    pair = answers(0.9, photos, seeds, draw=1), answers(0.9, photos, seeds, draw=2)

    summary, _ = tell_findings(
        {"alpha=1": find_all({("M", "alpha=1"): pair})["M", "alpha=1"]}, "accuracy", "alpha=0", 2
    )

    assert said in summary


def test_a_single_setting_is_held_against_nothing(repository: Path, tmp_path: Path) -> None:
    runs = make_grid(["seed=1..2"], ["alpha=1"], repository)
    for run in runs:
        commit_run(repository, run, {"MobileNet": answers(0.9, 300, 2)[run.seed - 1]}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)

    verdicts = judge(results, {}, "trash", repository)
    write_report(tmp_path / "report", runs, results, verdicts, {}, {}, "trash")

    text = (tmp_path / "report/report.md").read_text()
    assert "For all runs: alpha=1." in text
    assert "held against" not in text
    assert "recommends" not in text


def test_rarest_class_is_the_one_with_the_fewest_test_photos(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished
    assert rarest_class(results, {"alpha": 0.2}, repository) == "trash"


def test_rarest_class_is_one_of_the_baselines(repository: Path) -> None:
    runs = make_grid(["optimizer=other,adamw", "seed=1..2"], [], repository)
    for run in runs:
        right = {"MobileNet": answers(0.9, 300, 2)[run.seed - 1]}
        rarest = "bottle" if run.setting == {"optimizer": "other"} else "trash"
        commit_run(repository, run, right, val=0.9, rarest=rarest)
    results = collect(runs, find_experiments(repository), repository)

    rarest = rarest_class(results, {"optimizer": "adamw"}, repository)

    assert rarest == "trash"
    (verdict,) = judge(results, {"optimizer": "adamw"}, rarest, repository)
    assert "other photos or labels" in verdict.unjudged["optimizer=other"]


def test_report_holds_no_signatures(repository: Path, tmp_path: Path) -> None:
    address = "https://me:secret@store.example/set.zip?sig=secret"
    runs = make_grid(
        [f"optimizer={address},b", "seed=1..2"], [f"head.units=[{address}]"], repository
    )
    for run in runs:
        commit_run(repository, run, {"MobileNet": answers(0.9, 300, 2)[run.seed - 1]}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)
    failed = {"x-1": f"download: {address} could not be fetched."}

    verdicts = judge(results, runs[0].setting, "trash", repository)
    write_report(tmp_path, runs, results, verdicts, runs[0].setting, failed, "trash")

    for file in ("report.md", "results.csv", "index.html"):
        text = (tmp_path / file).read_text()
        assert "store.example/set.zip" in text
        assert "secret" not in text
