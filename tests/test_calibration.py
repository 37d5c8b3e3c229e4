"""Calibration: the temperature of a model's probabilities, and when its answers are sure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_work import CLASSES, LABELS, PROBABILITIES

from trashnet.metrics import (
    LEAST_CONFIDENCE,
    SURE,
    apply_temperature,
    choose_threshold,
    count_sure,
    expected_calibration_error,
    fit_temperature,
)


def test_temperature_above_one_takes_certainty_away() -> None:
    calibrated = apply_temperature(np.array([[0.8, 0.2]]), 2)

    assert calibrated == pytest.approx(np.array([[2 / 3, 1 / 3]]))  # as the roots of 4 and 1


def answers_at(temperature: float, photos: int = 4000) -> tuple[list[str], np.ndarray]:
    """Return labels drawn from probabilities, and the probabilities sharpened by a temperature."""
    random = np.random.default_rng(0)
    true = apply_temperature(random.dirichlet([0.5] * 3, photos), 1)
    drawn = (true.cumsum(axis=1) < random.random((photos, 1))).sum(axis=1)
    return [CLASSES[number] for number in drawn], apply_temperature(true, 1 / temperature)


@pytest.mark.parametrize("temperature", [0.5, 1, 3])
def test_temperature_that_spoilt_probabilities_is_found(temperature: float) -> None:
    labels, probabilities = answers_at(temperature)

    assert fit_temperature(labels, probabilities, CLASSES) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.1, 8])
def test_temperature_far_from_one_is_found(temperature: float) -> None:
    labels, probabilities = answers_at(temperature)

    assert fit_temperature(labels, probabilities, CLASSES) == pytest.approx(temperature, rel=0.1)


def test_temperature_never_changes_the_answer() -> None:
    _, probabilities = answers_at(2, photos=200)

    for temperature in (0.05, 1, 20):
        calibrated = apply_temperature(probabilities, temperature)
        np.testing.assert_array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_calibration_lowers_the_calibration_error() -> None:
    labels, probabilities = answers_at(3)
    calibrated = apply_temperature(probabilities, fit_temperature(labels, probabilities, CLASSES))

    before = expected_calibration_error(labels, probabilities, CLASSES)
    after = expected_calibration_error(labels, calibrated, CLASSES)

    assert before > 0.1
    assert after < 0.03


def test_calibration_error_worked_by_hand() -> None:
    """Confidences 0.5, 0.5, 0.5, 0.5 (one bin) with half of them right, then two more bins."""
    assert expected_calibration_error(LABELS, PROBABILITIES, CLASSES) == 0
    sure = np.array([[0.99, 0.01, 0], [0.8, 0.1, 0.1]])
    error = expected_calibration_error(["glass", "paper"], sure, CLASSES)
    assert error == pytest.approx((0.01 + 0.8) / 2)


def test_calibration_bins_are_a_fifteenth_wide() -> None:
    # 0.61 and 0.66 lie in [9/15, 10/15), 0.69 beyond.
    probabilities = np.array([[0.61, 0.39, 0], [0.66, 0.34, 0], [0.69, 0.31, 0]])

    error = expected_calibration_error(["glass", "metal", "glass"], probabilities, CLASSES)

    assert error == pytest.approx((abs(0.39 - 0.66) + 0.31) / 3, abs=1e-6)


def test_certain_answers_share_the_last_bin_of_confidence() -> None:
    nearly_and_wholly_certain = np.array([[0.96, 0.04, 0], [1.0, 0, 0]])

    error = expected_calibration_error(["glass", "paper"], nearly_and_wholly_certain, CLASSES)

    assert error == pytest.approx(0.98 - 0.5)


def test_hopeless_and_perfect_models_have_a_temperature_and_a_threshold() -> None:
    perfect = np.eye(3)[[0, 0, 1, 2]]
    for probabilities in (perfect, perfect[:, ::-1], np.full((4, 3), 1 / 3)):
        assert 0.05 <= fit_temperature(LABELS, probabilities, CLASSES) <= 20
    assert choose_threshold(LABELS, perfect, CLASSES) == LEAST_CONFIDENCE
    assert choose_threshold(LABELS, np.roll(perfect, 1, axis=1), CLASSES) == 1


def test_a_few_photos_all_right_make_no_model_certain() -> None:
    probabilities = np.eye(3)[[0, 0, 1, 2]] * 0.7 + 0.1

    temperature = fit_temperature(LABELS, probabilities, CLASSES)

    assert apply_temperature(probabilities, temperature).max() == pytest.approx(5 / 6, abs=1e-3)


def test_threshold_is_the_lowest_that_will_do() -> None:
    probabilities = np.repeat([[0.9, 0.1, 0], [0.7, 0.3, 0], [0.6, 0.4, 0]], [20, 20, 5], axis=0)
    labels = ["glass"] * 40 + ["paper"] * 5

    threshold = choose_threshold(labels, probabilities, CLASSES)

    assert threshold == pytest.approx(0.7, abs=2e-6)


def test_photo_at_the_threshold_is_sure() -> None:
    probabilities = np.array([[2 / 3, 1 / 3, 0], [0.5, 0.3, 0.2]])

    assert choose_threshold(["glass", "paper"], probabilities, CLASSES) <= 2 / 3


def test_a_share_of_exactly_what_is_asked_is_enough() -> None:
    photos = 20
    probabilities = np.repeat([[0.9, 0.1, 0], [0.6, 0.4, 0]], photos, axis=0)
    wrong = round(photos * (1 - SURE))
    labels = ["glass"] * (photos - wrong) + ["paper"] * (wrong + photos)

    assert choose_threshold(labels, probabilities, CLASSES) == pytest.approx(0.9)


@pytest.mark.parametrize(("right", "threshold"), [(95, LEAST_CONFIDENCE), (94, 1.0)])
def test_nineteen_right_answers_of_twenty_are_sure_enough(right: int, threshold: float) -> None:
    probabilities = np.tile([0.8, 0.1, 0.1], (100, 1))
    labels = ["glass"] * right + ["paper"] * (100 - right)

    assert choose_threshold(labels, probabilities, CLASSES) == threshold


@given(st.lists(st.tuples(st.sampled_from([0.4, 0.5, 0.6, 0.7, 0.9]), st.booleans()), min_size=1))
def test_no_lower_confidence_than_the_threshold_would_do(answers: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([sure for sure, _ in answers]), np.array([r for _, r in answers])
    probabilities = np.stack([confidence, *[(1 - confidence) / 2] * 2], axis=1)
    labels = np.where(right, "glass", "paper").tolist()
    shares = {
        value: right[confidence >= value].mean()
        for value in {LEAST_CONFIDENCE, *confidence}
        if LEAST_CONFIDENCE <= value <= confidence.max()
    }
    lowest = min((value for value, share in shares.items() if share >= SURE), default=1.0)

    threshold = choose_threshold(labels, probabilities, CLASSES)

    assert threshold == pytest.approx(lowest, abs=2e-6)


def test_answer_that_is_more_probably_wrong_than_right_is_never_sure() -> None:
    """However often the model is right on validation: a photo may show no litter at all."""
    probabilities = np.repeat([[0.9, 0.05, 0.05], [0.45, 0.3, 0.25]], [99, 1], axis=0)

    threshold = choose_threshold(["glass"] * 100, probabilities, CLASSES)

    assert count_sure(["glass"] * 100, probabilities, CLASSES, threshold) == (99, 99)


def test_sure_answers_and_the_right_ones_among_them_are_counted() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.3, 0], [0.1, 0.7, 0.2], [0.6, 0.2, 0.2]])

    # At 0.7 or more: glass rightly, glass wrongly, metal rightly.
    labels = ["glass", "paper", "metal", "glass"]
    assert count_sure(labels, probabilities, CLASSES, 0.7) == (3, 2)


def test_where_no_confidence_will_do_not_even_certainty_is_sure() -> None:
    certain_and_wrong = np.roll(np.eye(3)[[0, 0, 1, 2]], 1, axis=1)
    threshold = choose_threshold(LABELS, certain_and_wrong, CLASSES)

    assert count_sure(LABELS, certain_and_wrong, CLASSES, threshold) == (0, 0)


def test_answers_from_the_threshold_on_are_sure() -> None:
    labels, probabilities = answers_at(1)
    threshold = choose_threshold(labels, probabilities, CLASSES)

    given_ = probabilities.max(axis=1) >= threshold
    correct = np.array(CLASSES)[probabilities.argmax(axis=1)] == labels
    assert LEAST_CONFIDENCE < threshold < 1
    assert correct[given_].mean() >= SURE
    assert correct.mean() < SURE
