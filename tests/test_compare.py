"""The comparison of models: what decides, what is refused, what is written."""

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from compare_work import SetModels, report, write_model
from params_work import write_params

from stages import compare
from trashnet.errors import PipelineError

pytestmark = pytest.mark.usefixtures("set_models")


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
            "Dataset": "sample",
            "Split": "stratified",
            "Weights": "none",
            "Seed": 1,
            "Test Photos": 100,
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


def test_an_ensemble_stands_in_the_table() -> None:
    members = ["MobileNet", "MobileNetV2"]
    write_params({"models": members, "ensembles": {"Pair": members}})
    for model in (*members, "Pair"):
        write_model(model, wrong={1})

    compare.main()

    assert sorted(models_in_order()) == ["MobileNet", "MobileNetV2", "Pair"]


def test_models_tested_on_different_photos_are_refused(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1})
    write_model("MobileNetV2", wrong={1}, folder="b")

    with pytest.raises(PipelineError) as refused:
        compare.main()

    assert "metrics/MobileNet/predictions-test.csv" in str(refused.value)
    assert "metrics/MobileNetV2/predictions-test.csv" in str(refused.value)


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


def test_models_tested_under_other_labels_are_refused(set_models: SetModels) -> None:
    set_models("MobileNet", "MobileNetV2")
    write_model("MobileNet", wrong={1})
    write_model("MobileNetV2", wrong={1})
    predictions = Path("metrics/MobileNetV2/predictions-test.csv")
    predictions.write_text(predictions.read_text().replace("000.jpg,glass", "000.jpg,paper"))

    with pytest.raises(PipelineError, match="list different test photos"):
        compare.main()


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
