"""Studies: what counts as more than chance."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ttest_1samp
from study_work import answers

from trashnet.metrics import holm
from trashnet.study.verdict import (
    LEAST_SEEDS,
    LEVEL,
    POWER,
    Difference,
    Finding,
    compare,
    find_all,
    majority,
    p_over_seeds,
    smallest_visible,
)


def difference(photos: int, seeds: int = 5, seeds_error: float = 0.0) -> Difference:
    """Return a difference of three points with a standard error of one."""
    return Difference(0.03, 0.01, 0.05, 0.01, seeds_error, 0.001, photos, seeds)


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
    luck: float = 0.15,
) -> list[Finding]:
    """Compare 200 pairs of settings; `gain` is what one has in logits.

    Some photos are hard and some are easy for all, each training has its luck
    (a standard deviation in logits), and so has each answer.
    """
    monkeypatch.setattr("trashnet.study.verdict.RESAMPLES", 1_000)

    def right(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
        of_seed = logits + random.normal(0, luck, (seeds, 1))
        correct: np.ndarray = random.random((seeds, photos)) < 1 / (1 + np.exp(-of_seed))
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


def test_luck_of_trainings_is_no_difference_however_many_the_photos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    findings = drawn_findings(0, monkeypatch, photos=3000, seeds=3, luck=0.5)

    # Where luck decides, the t test errs at its level exactly, so 200 draws may show some more.
    shown = sum(found.is_shown for found in findings)
    assert binomtest(shown, len(findings), LEVEL, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize(("photos", "mean_logit", "gain"), [(430, 3.2, 0.7), (29, 0.5, 3)])
def test_difference_said_to_be_visible_is_mostly_found(
    photos: int, mean_logit: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = drawn_findings(gain, monkeypatch, photos, mean_logit)

    # What was planted is just above what four of five such studies are said to see.
    visible = np.mean([smallest_visible(found.difference, comparisons=1) for found in findings])
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

    assert tuple(compare(correct, correct)) == (0, 0, 0, 0, 0, 1, photos, seeds)


def test_majority_needs_more_than_half_of_the_seeds() -> None:
    correct = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], bool)

    assert majority(correct).tolist() == [True, False, False, False]


def test_more_comparisons_blur_what_can_be_seen() -> None:
    # 1.96 + 0.84 standard errors: the textbook's sum for one comparison and a power of 80%.
    assert smallest_visible(difference(430), comparisons=1) == pytest.approx(0.028, abs=1e-4)
    # 2.74 + 0.84: each of eight comparisons has an eighth of the level.
    assert smallest_visible(difference(430), comparisons=8) == pytest.approx(0.0358, abs=1e-4)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_few_seeds_show_what_is_said_to_be_visible_in_four_of_five_studies(seeds: int) -> None:
    found = difference(430, seeds=seeds, seeds_error=0.01)
    visible = smallest_visible(found, comparisons=4)

    spread = 0.01 * np.sqrt(seeds)
    studies = np.random.default_rng(0).normal(visible, spread, (100_000, seeds))
    shown = ttest_1samp(studies, 0, axis=1).pvalue < LEVEL / 4
    assert shown.mean() == pytest.approx(POWER, abs=0.005)


@pytest.mark.parametrize(("photos", "few"), [(29, 0.36), (9, 0.9), (8, 1.0)])
def test_few_photos_show_only_what_is_large(photos: int, few: float) -> None:
    assert smallest_visible(difference(photos), comparisons=8) >= few


def test_as_many_photos_as_the_test_needs_change_in_four_of_five_studies() -> None:
    # Six photos in one direction have p = 2 / 2**6.
    visible = smallest_visible(difference(29), comparisons=1)

    assert binom.sf(5, 29, visible) == pytest.approx(POWER)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"p": 0.049}, True),
        ({"p": 0.051}, False),
        ({"low": -0.01}, False),
        ({"seeds": LEAST_SEEDS - 1}, False),
    ],
)
def test_a_difference_is_shown_by_tests_interval_and_seeds_together(
    changes: dict[str, Any], shown: bool
) -> None:
    found = difference(430)._replace(**changes)

    assert Finding(found, found.p).is_shown == shown


def test_each_p_is_corrected_for_the_number_of_comparisons() -> None:
    pairs = {
        ("M", str(draw)): (answers(0.95 - draw / 100, draw=draw), answers(0.9, draw=9))
        for draw in range(3)
    }

    found = find_all(pairs).values()

    plain = [each.difference.p for each in found]
    assert [each.p_holm for each in found] == holm(plain) != plain


def test_interval_of_one_training_is_that_of_a_share() -> None:
    half = np.arange(100)[None] % 2 == 0

    found = compare(half, np.zeros((1, 100), bool))

    # sqrt(0.5 * 0.5 / 100), and 1.96 of it to either side
    assert found.standard_error == pytest.approx(0.05, rel=0.05)
    assert (found.low, found.high) == pytest.approx((0.402, 0.598), abs=0.01)


def test_trainings_are_a_sample_as_photos_are() -> None:
    every_other_seed = np.repeat(np.arange(16)[:, None] % 2 == 0, 50, axis=1)

    found = compare(every_other_seed, np.zeros((16, 50), bool))

    assert found.standard_error == pytest.approx(0.125, rel=0.05)  # sqrt(0.5 * 0.5 / 16)


def test_a_majority_that_turns_against_the_mean_is_no_evidence_for_it() -> None:
    """Two of three seeds gain twenty photos, and each of them loses more of the others."""
    correct, baseline = np.ones((3, 100), bool), np.ones((3, 100), bool)
    baseline[:2, :20] = False
    correct[0, 20:40], correct[1, 40:60], correct[2, 60:] = False, False, False

    found = compare(correct, baseline)

    assert found.mean < 0
    assert found.p == 1


def test_p_over_seeds_is_that_of_the_paired_t_test() -> None:
    # Student's t is 0.02 / (0.01 / sqrt(3)), 3.46, with two degrees of freedom.
    assert p_over_seeds(np.array([0.01, 0.02, 0.03])) == pytest.approx(0.0742, abs=1e-4)


@pytest.mark.parametrize(("differences", "p"), [([0.0, 0.0], 1), ([0.1, 0.1, 0.1], 0), ([0.1], 0)])
def test_seeds_that_agree_leave_it_to_the_photos(differences: list[float], p: float) -> None:
    assert p_over_seeds(np.array(differences)) == p
