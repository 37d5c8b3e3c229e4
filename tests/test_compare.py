"""The comparison of models: what decides, what is refused, what is written."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from params_work import write_params

from stages import compare
from trashnet.errors import PipelineError
from trashnet.files import write_json, write_text
from trashnet.metrics import (
    classification_metrics,
    predictions_table,
    write_predictions,
)

CLASSES = ["glass", "paper"]
PHOTOS = 100

SetModels = Callable[..., None]


@pytest.fixture(autouse=True)
def set_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetModels:
    """Run the test in an empty repository; return what writes `models` to its params.yaml."""
    monkeypatch.chdir(tmp_path)
    write_json(
        "metrics/split.json",
        {
            "method": "stratified",
            "photos": {"train": 500, "val": 100, "test": PHOTOS, "dropped": 0},
            "classes": {label: {"train": 250, "val": 50, "test": 50} for label in CLASSES},
        },
    )
    columns = "path,label,status,reason,sha256,phash,group,width,height,size_bytes"
    write_text("data/manifest.csv", f"{columns}\nglass/1.jpg,glass,ok,,,,,512,384,99\n")
    write_text("data/splits.csv", "path,label,group,split,reason\n")

    def write(*models: str) -> None:
        write_params({"models": list(models)})

    return write


def write_model(
    model: str, wrong: set[int], val_accuracy: float = 0.8, val_loss: float = 0.5, folder: str = "a"
) -> None:
    """Write what `evaluate` writes of a model that has all test photos right but those `wrong`."""
    labels = [CLASSES[photo % 2] for photo in range(PHOTOS)]
    is_paper = np.array([(photo % 2 == 1) != (photo in wrong) for photo in range(PHOTOS)])
    probabilities = np.where(is_paper[:, None], [0.25, 0.75], [0.75, 0.25])
    files = [Path(f"data/images/{folder}/{photo:03}.jpg") for photo in range(PHOTOS)]

    table = predictions_table(files, labels, probabilities, CLASSES)
    write_predictions(f"metrics/{model}/predictions-test.csv", table)
    write_json(
        f"metrics/{model}/timing-evaluate.json", {"seconds": 1, "milliseconds_per_image": 9.5}
    )
    write_json(
        f"metrics/{model}.json",
        {
            "test": classification_metrics(labels, probabilities, CLASSES),
            "val": {
                "accuracy": val_accuracy,
                "loss": val_loss,
                "macro_f1": val_accuracy,
            },
            "train": {"final_accuracy": 0.95},
            "epochs": {"initial": 7, "fine_tune": 3},
            "model": {"parameters": 2_422_726},
            "calibration": {
                "temperature": 1.0,
                "threshold": 0.5,
                "test": {"ece_before": 0.2, "ece_after": 0.1, "sure": 2, "sure_and_right": 2},
            },
        },
    )
    write_json(
        f"metrics/{model}/training.json",
        {
            "kept": {"phase": "fine_tune", "epoch": 2},
            "files": [{"path": f"models/{model}.keras", "sha256": "ab" * 32}],
        },
    )


def report() -> str:
    return Path("reports/comparison.md").read_text(encoding="utf-8")


def models_in_order() -> list[str]:
    names: list[str] = pd.read_csv("reports/comparison.csv")["Model"].tolist()
    return names


def test_table_has_the_columns_that_others_read(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1, 2})

    compare.main()

    assert pd.read_csv("reports/comparison.csv").to_dict("records") == [
        {
            "Model": "MobileNet",
            "Test Accuracy": 0.98,
            "Test Accuracy Low": 0.929988,
            "Test Accuracy High": 0.994498,
            "Test Loss": pytest.approx(-0.98 * np.log(0.75) - 0.02 * np.log(0.25), abs=1e-6),
            "Macro F1": pytest.approx(0.98, abs=1e-6),
            "Final Train Accuracy": 0.95,
            "Best Val Accuracy": 0.8,
            "Initial Epochs": 7,
            "Fine-tune Epochs": 3,
            "Parameters": 2422726,
            "Milliseconds per Image": 9.5,
        }
    ]


def test_validation_and_not_test_picks_the_winner(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong=set(), val_accuracy=0.8)
    write_model("MobileNetV2", wrong={1, 2, 3}, val_accuracy=0.9)

    compare.main()

    assert models_in_order() == ["MobileNetV2", "MobileNet"]


def test_lower_validation_loss_and_then_the_name_settle_a_tie(set_models: SetModels) -> None:
    set_models("ResNet101V2", "MobileNetV2", "MobileNet")
    write_model("ResNet101V2", wrong={1}, val_loss=0.4)
    write_model("MobileNetV2", wrong=set(), val_loss=0.5)
    write_model("MobileNet", wrong=set(), val_loss=0.5)

    compare.main()

    assert models_in_order() == ["ResNet101V2", "MobileNet", "MobileNetV2"]


def test_only_the_models_of_params_are_compared(set_models: SetModels) -> None:
    set_models("MobileNetV2")
    write_model("MobileNetV2", wrong={1})
    write_model("MobileNet", wrong={1}, folder="of another dataset")
    Path("metrics/ResNet101V2.json").write_text("left by a killed run")

    compare.main()

    assert models_in_order() == ["MobileNetV2"]


def test_models_tested_on_different_photos_are_refused(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1})
    write_model("MobileNetV2", wrong={1}, folder="b")

    with pytest.raises(PipelineError) as refused:
        compare.main()

    assert "metrics/MobileNet/predictions-test.csv" in str(refused.value)
    assert "metrics/MobileNetV2/predictions-test.csv" in str(refused.value)


@pytest.mark.parametrize(
    "name", ["MobileNet.json", "MobileNet/timing-evaluate.json", "MobileNet/predictions-test.csv"]
)
def test_missing_file_is_named_with_the_way_to_make_it(set_models: SetModels, name: str) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1})
    Path("metrics", name).unlink()

    with pytest.raises(PipelineError, match=rf"metrics/{name} is missing; run `dvc repro`"):
        compare.main()


def test_refusal_leaves_the_last_comparison_alone(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1})
    compare.main()
    before = report()
    Path("metrics/MobileNet.json").write_text("<<<<<<< HEAD")

    with pytest.raises(PipelineError, match=r"metrics/MobileNet\.json is not valid JSON"):
        compare.main()

    assert report() == before


def test_report_names_what_the_numbers_depend_on(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1})

    compare.main()

    assert (
        "Dataset sample (100 test photos), split stratified, pretrained weights none, "
        "training seed 1." in report()
    )


def test_report_shows_accuracy_with_its_interval(set_models: SetModels) -> None:
    set_models("MobileNet")
    write_model("MobileNet", wrong={1, 2})

    compare.main()

    assert "| MobileNet | 0.980 [0.930, 0.994] |" in report()


def test_json_holds_the_table_by_model(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1, 2, 3, 4, 5, 6, 7}, val_accuracy=0.7)
    write_model("MobileNetV2", wrong={7, 8})

    compare.main()

    content = json.loads(Path("reports/comparison.json").read_text(encoding="utf-8"))
    models = content.pop("models")
    assert content == {
        "dataset": "sample",
        "split": "stratified",
        "weights": "none",
        "seed": 1,
        "test_photos": 100,
    }
    assert list(models) == ["MobileNetV2", "MobileNet"]
    assert models["MobileNetV2"]["fine_tune_epochs"] == 3
    assert models["MobileNet"]["points_from_best"] == -5
    assert models["MobileNet"]["p_holm"] == 0.125  # six against one


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


def test_same_metrics_give_the_same_bytes(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1})
    write_model("MobileNetV2", wrong={2, 3})
    written = []

    for _ in range(2):
        compare.main()
        written.append({file.name: file.read_bytes() for file in Path("reports").iterdir()})

    assert written[0] == written[1]
    assert sorted(written[0]) == [f"comparison.{kind}" for kind in ("csv", "json", "md", "png")]


def test_the_card_is_that_of_the_winner(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong=set(), val_accuracy=0.8)
    write_model("MobileNetV2", wrong={1, 2, 3}, val_accuracy=0.9)

    compare.main()

    card = Path("models/best/README.md").read_text(encoding="utf-8")
    assert card.startswith("# Model card: MobileNetV2 on sample")
    assert "best on validation of the 2 models" in card
    assert "| Accuracy | 0.970 [0.915, 0.990] | 0.900 |" in card


def test_models_tested_under_other_labels_are_refused(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1})
    write_model("MobileNetV2", wrong={1})
    predictions = Path("metrics/MobileNetV2/predictions-test.csv")
    predictions.write_text(predictions.read_text().replace("000.jpg,glass", "000.jpg,paper"))

    with pytest.raises(PipelineError, match="list different test photos"):
        compare.main()


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_each_model_must_have_been_tested_on_the_same_photos(
    odd: int, set_models: SetModels
) -> None:
    models = ["MobileNet", "MobileNetV2", "ResNet101V2"]
    set_models(*models)
    for number, model in enumerate(models):
        write_model(model, wrong={1}, folder="b" if number == odd else "a")

    with pytest.raises(PipelineError, match="list different test photos"):
        compare.main()


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


def test_report_keeps_signatures_of_addresses_to_itself() -> None:
    address = "https://me:secret@store.example/weights?sig=secret"
    write_params({"models": ["MobileNet"], "datasets.sample.pretrained": address})
    write_model("MobileNet", wrong={1})

    compare.main()

    assert "secret" not in report() + Path("reports/comparison.json").read_text()


def test_report_names_the_training_seed() -> None:
    write_params({"models": ["MobileNet"], "seed": 7})
    write_model("MobileNet", wrong={1})

    compare.main()

    assert "training seed 7." in report()


def test_picture_shows_each_models_own_recall(
    set_models: SetModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong=set())
    write_model("MobileNetV2", wrong={1, 3})  # both are paper
    draw = Mock()
    monkeypatch.setattr(compare, "draw_comparison", draw)

    compare.main()

    recall = draw.call_args.args[3]
    assert recall["paper"].to_dict() == {"MobileNet": 1.0, "MobileNetV2": 0.96}


def test_an_ensemble_stands_in_the_table() -> None:
    members = ["MobileNet", "MobileNetV2"]
    write_params({"models": members, "ensembles": {"Pair": members}})
    for model in (*members, "Pair"):
        write_model(model, wrong={1})

    compare.main()

    assert sorted(models_in_order()) == ["MobileNet", "MobileNetV2", "Pair"]
