"""Studies: what counts as more than chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_work import answers

from trashnet.study.verdict import (
    LEAST_SEEDS,
    LEVEL,
    POWER,
    Finding,
    compare,
    find_all,
    majority,
    smallest_visible,
)


def test_planted_difference_is_found() -> None:
    found = compare(answers(0.93), answers(0.88))

    assert found.mean == pytest.approx(0.05, abs=0.01)
    assert 0 < found.low < found.mean < found.high
    assert found.p < 0.001


def test_equal_settings_differ_by_chance_alone() -> None:
    found = compare(answers(0.9, draw=1), answers(0.9, draw=2))

    assert found.low < 0 < found.high
    assert found.p > 0.05


def drawn_findings(
    gain: float,
    monkeypatch: pytest.MonkeyPatch,
    photos: int = 430,
    mean_logit: float = 3.2,
    seeds: int = 5,
) -> list[Finding]:
    """Compare 200 pairs of settings; `gain` is what one has in logits.

    Some photos are hard and some are easy for all, each training has its luck,
    and so has each answer.
    """
    monkeypatch.setattr("trashnet.study.verdict.RESAMPLES", 1_000)

    def right(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
        luck = random.normal(0, 0.15, (seeds, 1))
        correct: np.ndarray = random.random((seeds, photos)) < 1 / (1 + np.exp(-logits - luck))
        return correct

    findings: list[Finding] = []
    for number in range(200):
        random = np.random.default_rng(number)
        logits = random.logistic(mean_logit, 2, photos)
        pair = right(logits + gain, random), right(logits, random)
        findings += find_all({("M", "a"): pair}).values()
    return findings


@pytest.mark.parametrize("seeds", [1, LEAST_SEEDS, 5])
def test_equal_settings_are_called_different_at_most_at_the_stated_rate(
    seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = drawn_findings(0, monkeypatch, seeds=seeds)

    assert sum(found.is_shown for found in findings) <= LEVEL * len(findings)


@pytest.mark.parametrize(("photos", "mean_logit", "gain"), [(430, 3.2, 0.7), (29, 0.5, 3)])
def test_difference_said_to_be_visible_is_mostly_found(
    photos: int, mean_logit: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = drawn_findings(gain, monkeypatch, photos, mean_logit)

    # What was planted is just above what four of five such studies are said to see.
    visible = np.mean(
        [smallest_visible(found.difference.standard_error, photos, 1) for found in findings]
    )
    planted = np.mean([found.difference.mean for found in findings])
    assert visible < planted < 1.3 * visible
    assert sum(found.is_shown for found in findings) >= POWER * len(findings)


def test_comparison_is_paired_over_photos() -> None:
    """The same five points mean little where they fall on any photos."""
    random = np.random.default_rng(0)
    unpaired = compare(random.random((5, 400)) < 0.93, random.random((5, 400)) < 0.88)

    assert unpaired.standard_error > 1.3 * compare(answers(0.93), answers(0.88)).standard_error


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 100))
def test_a_setting_against_itself_is_no_difference(seeds: int, photos: int, draw: int) -> None:
    correct = answers(0.8, photos, seeds, draw)

    assert tuple(compare(correct, correct)) == (0, 0, 0, 0, 1, photos, seeds)


def test_majority_needs_more_than_half_of_the_seeds() -> None:
    correct = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], bool)

    assert majority(correct).tolist() == [True, False, False, False]


def test_more_comparisons_blur_what_can_be_seen() -> None:
    # 1.96 + 0.84 standard errors: the textbook's sum for one comparison and a power of 80%.
    one = smallest_visible(0.01, photos=430, comparisons=1)

    assert one == pytest.approx(0.028, abs=1e-4)
    assert smallest_visible(0.01, photos=430, comparisons=8) > one


@pytest.mark.parametrize(("photos", "few"), [(29, 0.36), (9, 0.9), (8, 1.0)])
def test_few_photos_show_only_what_is_large(photos: int, few: float) -> None:
    assert smallest_visible(0.01, photos, comparisons=8) >= few


def test_interval_alone_shows_nothing() -> None:
    found = compare(answers(0.93), answers(0.88))

    assert found.low > 0
    assert not Finding(found, p_holm=0.2).is_shown
