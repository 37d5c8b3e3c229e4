"""Metrics, intervals and tests against values worked by hand or published."""

from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_work import CLASSES, LABELS, PROBABILITIES

from trashnet.errors import PipelineError
from trashnet.metrics import (
    classification_metrics,
    holm,
    mcnemar,
    predictions_table,
    read_predictions,
    wilson_interval,
    write_predictions,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)
answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_metrics_of_a_case_worked_by_hand() -> None:
    metrics = classification_metrics(LABELS, PROBABILITIES, CLASSES)

    assert metrics == {
        "accuracy": 0.5,
        "loss": round((1 + 2 + 1 + 3) / 4 * log(2), 6),
        "macro_f1": round((2 / 3 + 2 / 4 + 0) / 3, 6),  # F1 = 2 tp / (2 tp + fp + fn)
        "recall": {"glass": 0.5, "metal": 1.0, "paper": 0.0},
    }


def test_metrics_do_not_depend_on_the_order_of_the_classes() -> None:
    turned = classification_metrics(LABELS, PROBABILITIES[:, ::-1], CLASSES[::-1])

    assert turned == classification_metrics(LABELS, PROBABILITIES, CLASSES)


def test_a_class_neither_shown_nor_named_counts_as_missed() -> None:
    metrics = classification_metrics(["glass"], np.array([[1.0, 0.0]]), ["glass", "metal"])

    assert (metrics["macro_f1"], metrics["recall"]) == (0.5, {"glass": 1.0, "metal": 0.0})


def test_one_certain_mistake_costs_a_bounded_loss() -> None:
    metrics = classification_metrics(["glass"], np.array([[0.0, 1.0, 0.0]]), CLASSES)

    assert metrics["loss"] == pytest.approx(15.94, abs=0.01)


def test_probabilities_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"lower initial\.learning_rate"):
        classification_metrics(["glass"], np.array([[np.nan, 1.0, 0.0]]), CLASSES)


# Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(
    correct: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_mcnemar_of_a_case_worked_by_hand() -> None:
    only_a = [(True, False)] * 6
    only_b = [(False, True)]
    both_or_none = [(True, True), (False, False)] * 20
    a, b = zip(*only_a, *only_b, *both_or_none, strict=True)

    # Of 7 throws of a coin, at most one or at least six heads.
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 7) / 2**7)


def test_mcnemar_cannot_tell_a_model_from_itself() -> None:
    assert mcnemar([True, False, True], [True, False, True]) == 1


@given(answers)
def test_mcnemar_does_not_mind_which_model_comes_first(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)

    assert mcnemar(a, b) == pytest.approx(mcnemar(b, a))


def test_holm_of_a_case_worked_by_hand() -> None:
    # From the smallest: 4 * 0.005, 3 * 0.01, 2 * 0.03; then 0.04, which may not fall below those.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values)
def test_holm_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    for before, after in zip(p, holm(p), strict=True):
        assert before <= after <= min(1, len(p) * before)


@given(p_values)
def test_holm_does_not_mind_the_order(p: list[float]) -> None:
    assert holm(p[::-1]) == holm(p)[::-1]


def test_predictions_come_back_as_written(tmp_path: Path) -> None:
    files = [Path(f"data/images/NA/{number}.jpg") for number in range(4)]
    # A class named NA must not be read as a missing value.
    table = predictions_table(
        files, ["NA", "NA", "metal", "paper"], PROBABILITIES, ["NA", "b", "c"]
    )

    write_predictions(tmp_path / "predictions.csv", table)

    assert read_predictions(tmp_path / "predictions.csv").equals(table)


def test_predictions_are_legible(tmp_path: Path) -> None:
    table = predictions_table([Path("data/images/a.jpg")], ["paper"], PROBABILITIES[3:], CLASSES)

    write_predictions(tmp_path / "predictions.csv", table)

    assert (tmp_path / "predictions.csv").read_text() == (
        "path,label,predicted,p_glass,p_metal,p_paper\n"
        "data/images/a.jpg,paper,metal,0.375000,0.500000,0.125000\n"
    )


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"predictions\.csv is missing"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"path,label\na.jpg,glass\n", "lacks the column predicted"),
        (b"", "is not a CSV table"),
        (b"\xff\xfe\x00", "is not a CSV table"),
        (b"path,label,predicted\na.jpg,glass,glass\n<<<<<<< ours\n", "lacks a value in line 3"),
        (b"path,label,predicted,p_glass\na.jpg,glass,glass,\n", "lacks a value in line 2"),
    ],
)
def test_foreign_files_are_no_predictions(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "predictions.csv").write_bytes(content)

    with pytest.raises(PipelineError, match=complaint):
        read_predictions(tmp_path / "predictions.csv")


def test_folder_is_no_predictions(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        read_predictions(tmp_path)
