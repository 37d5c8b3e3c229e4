"""The report of a comparison: what its numbers rest on, and what may be chance."""

from pathlib import Path

import pytest
from compare_work import SetModels, report, write_model
from params_work import write_params

from stages import compare

pytestmark = pytest.mark.usefixtures("set_models")


def test_report_names_what_the_numbers_depend_on(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1})

    compare.main()

    assert (
        "Dataset sample (100 test photos), split stratified, pretrained weights none, "
        "training seed 1." in report()
    )


def test_report_names_the_training_seed() -> None:
    write_params({"models": ["MobileNet"], "seed": 7})
    write_model("MobileNet", wrong={1})

    compare.main()

    assert "training seed 7." in report()


def test_report_keeps_signatures_of_addresses_to_itself() -> None:
    address = "https://me:secret@store.example/weights?sig=secret"
    write_params({"models": ["MobileNet"], "datasets.sample.pretrained": address})
    write_model("MobileNet", wrong={1})

    compare.main()

    assert "secret" not in report() + Path("reports/comparison.json").read_text()


def test_report_shows_accuracy_with_its_interval(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1, 2})

    compare.main()

    assert "| MobileNet | 0.980 [0.930, 0.994] |" in report()


def test_one_model_alone_gets_no_verdict(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1})

    compare.main()

    assert "chance" not in report()


def test_verdict_says_what_may_be_chance(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large")
    write_model("MobileNet", wrong={1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    write_model("MobileNetV2", wrong={1, 2}, val_accuracy=0.9)
    write_model("MobileNetV3Small", wrong={1, 2, 3}, val_accuracy=0.7)
    write_model("MobileNetV3Large", wrong={5, 6}, val_accuracy=0.6)

    compare.main()

    _, verdict = report().split("## Is the difference chance?\n\n")
    assert verdict.splitlines()[:5] == [
        "MobileNetV2 is best on validation. On test, by more than chance, these are worse: "
        "MobileNet; these are better: none.",
        "",
        # Of ten throws all heads or all tails, times three comparisons: 3 * 2 / 2**10.
        "- MobileNet is 10.0 points lower on the 100 test photos; p = 0.00586 after Holm's "
        "correction: that is hardly chance.",
        "- MobileNetV3Small is 1.0 points lower on the 100 test photos; p = 1 after Holm's "
        "correction: that may be chance.",
        "- MobileNetV3Large has as many of the 100 test photos right.",
    ]


def test_verdict_admits_that_another_model_is_better_on_test(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong=set(range(20)), val_accuracy=0.9)
    write_model("MobileNetV2", wrong=set())

    compare.main()

    assert "these are worse: none; these are better: MobileNetV2." in report()
    assert "MobileNetV2 is 20.0 points higher on the 100 test photos; p < 0.001" in report()


def test_verdict_without_any_certain_difference(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1}, val_accuracy=0.9)
    write_model("MobileNetV2", wrong={2, 3})

    compare.main()

    assert "MobileNet is best on validation; on test, chance may explain every diff" in report()


@pytest.mark.parametrize(  # p = 2 / 2**5 and 2 / 2**6
    ("more_wrong", "said"), [(5, "that may be chance"), (6, "that is hardly chance")]
)
def test_chance_ends_below_five_percent(more_wrong: int, said: str, set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong=set(), val_accuracy=0.9)
    write_model("MobileNetV2", wrong=set(range(more_wrong)))

    compare.main()

    assert said in report()


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0496, "p = 0.0496 "), (0.0504, "p = 0.0504 "), (0.0004, "p < 0.001 ")]
)
def test_no_p_value_is_rounded_onto_the_border_of_chance(p: float, shown: str) -> None:
    assert shown in compare.sentence("MobileNet", -3.0, p, 400)


@pytest.mark.parametrize(("difference", "shown"), [(-0.01, "0.01 points"), (0.25, "0.2 points")])
def test_no_difference_is_rounded_to_none(difference: float, shown: str) -> None:
    assert f"is {shown} " in compare.sentence("MobileNet", difference, 1.0, 10_000)
