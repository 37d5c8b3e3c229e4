"""Studies: which setting validation recommends, and on what that rests."""

import pandas as pd
import pytest

from trashnet.study.judgement import Verdict, recommend
from trashnet.study.report import tell_recommendation


def validated(*runs: tuple[str, int, float]) -> pd.DataFrame:
    """Make a model's results from (setting, seed, validation accuracy)."""
    columns = ["setting", "seed", "val_accuracy"]
    table = pd.DataFrame(runs, columns=columns)
    return table.assign(model="MobileNet", test_accuracy=0.9, val_photos="the same")


def test_recommendation_is_validations_and_stays_at_the_baseline_when_tied() -> None:
    def of(first: float, second: float) -> pd.DataFrame:
        return validated(("a", 1, first), ("b", 1, second))

    assert recommend(of(0.9, 0.8), "b") == "a"
    assert recommend(of(0.9, 0.9), "b") == "b"


def test_a_hard_seed_that_failed_in_one_setting_does_not_recommend_it() -> None:
    runs = [("base", 1, 0.8), ("base", 2, 0.95), ("other", 2, 0.93)]

    assert recommend(validated(*runs), "base") == "base"


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([("base", 1, 0.8), ("other", 2, 0.9)], "no seed has finished with both base and another"),
        ([("other", 1, 0.8), ("third", 1, 0.8)], "no run of base trained this model"),
        ([("other", 1, 0.8)], "only those of other trained this model"),
        ([("base", 1, 0.8)], "only those of base trained this model"),
    ],
)
def test_what_cannot_be_recommended_says_why(
    runs: list[tuple[str, int, float]], reason: str
) -> None:
    results = validated(*runs)
    verdict = Verdict("MobileNet", {}, {}, {}, recommend(results, "base"))

    assert reason in tell_recommendation(verdict, results, "base")


def said_of(results: pd.DataFrame) -> str:
    """Return what the report recommends after these runs."""
    return tell_recommendation(
        Verdict("MobileNet", {}, {}, {}, recommend(results, "base")), results, "base"
    )


def test_a_setting_that_mostly_failed_does_not_make_the_others_rest_on_its_seed() -> None:
    steady = [(name, seed, 0.8) for name in ("base", "other") for seed in range(1, 6)]
    runs = [*steady, ("better", 1, 0.7), *(("better", seed, 0.9) for seed in range(2, 6))]

    said = said_of(validated(*runs, ("failing", 1, 0.95)))

    assert said == (
        "Validation recommends better (validation accuracy 0.860 against 0.800 of base, "
        "seeds 1, 2, 3, 4, 5); on test that choice brings +0.0 points. Too few seeds have "
        "finished to recommend failing."
    )


def test_settings_are_held_against_the_baseline_on_the_seeds_that_they_share_with_it() -> None:
    base = [("base", seed, 0.9 if seed > 3 else 0.7) for seed in range(1, 7)]
    easy_seeds_alone = [("easy", seed, 0.89) for seed in (4, 5, 6)]
    hard_seeds_alone = [("hard", seed, 0.72) for seed in (1, 2, 3)]

    said = said_of(validated(*base, *easy_seeds_alone, *hard_seeds_alone))

    assert said.startswith(
        "Validation recommends hard (validation accuracy 0.720 against 0.700 of base, seeds 1, 2, 3"
    )


def test_one_seed_of_each_setting_may_recommend_and_is_named() -> None:
    said = said_of(validated(("base", 1, 0.8), ("other", 1, 0.9)))

    assert "0.900 against 0.800 of base, seed 1)" in said


def test_nothing_is_said_of_test_where_the_recommended_setting_has_other_test_labels() -> None:
    results = validated(("base", 1, 0.8), ("other", 1, 0.9))
    unjudged = {"other": "other and base were tested on other photos or labels."}

    said = tell_recommendation(Verdict("MobileNet", {}, {}, unjudged, "other"), results, "base")

    assert said.endswith("0.900 against 0.800 of base, seed 1).")
