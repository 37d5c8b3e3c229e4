"""Studies: the sentences in which a report says what was found and what could not be."""

from typing import Any

import pytest

from trashnet.study.report import tell_findings
from trashnet.study.verdict import Difference, Finding


def finding(p: float = 1.0, **changes: Any) -> Finding:
    """Return a difference that chance explains, of five seeds and 430 photos."""
    usual = Difference(0.01, -0.01, 0.03, 0.01, 0.01, p, photos=430, seeds=5)
    return Finding(usual._replace(**changes), p)


def test_few_seeds_that_spread_widely_are_not_said_to_be_too_few_photos() -> None:
    summary, _ = tell_findings(
        {"alpha=1": finding(seeds=3, seeds_error=0.2)}, "accuracy", "alpha=0", comparisons=8
    )

    assert summary == (
        "No difference in accuracy could be shown: 3 seeds spread so widely that they hide any; "
        "add more seeds."
    )


def test_what_would_be_shown_is_not_that_of_a_setting_with_too_few_seeds() -> None:
    findings = {"alpha=1": finding(), "alpha=2": finding(seeds=2, seeds_error=0.2)}

    summary, *_ = tell_findings(findings, "accuracy", "alpha=0", comparisons=2)
    alone, _ = tell_findings({"alpha=1": finding()}, "accuracy", "alpha=0", comparisons=2)

    assert summary == alone


@pytest.mark.parametrize(
    ("p", "written"),
    [(0.0496, "0.0496"), (0.049996, "0.049996"), (0.0504, "0.05"), (0.0123, "0.012")],
)
def test_p_below_the_level_is_not_written_like_p_above(p: float, written: str) -> None:
    _, said = tell_findings({"alpha=1": finding(p)}, "accuracy", "alpha=0", comparisons=1)

    assert f"p = {written} after" in said


def test_seeds_that_failed_are_to_be_mended_and_not_to_be_added() -> None:
    summary, _ = tell_findings({"alpha=1": finding(seeds=2)}, "accuracy", "alpha=0", comparisons=1)

    assert summary.endswith("add some, as in seed=1..5, or mend the runs that failed.")
