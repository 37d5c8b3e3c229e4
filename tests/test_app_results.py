"""The app where a file of the pipeline, or a photo of the dataset, is not what it should be."""

import json
from pathlib import Path
from typing import Any

import pytest
from app_work import CALIBRATION

from app.results import read_calibration, read_members, read_model_hash
from trashnet.errors import PipelineError

MODEL = "MobileNetV2"


def write_training(content: dict[str, Any]) -> None:
    file = Path("metrics", MODEL, "training.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"temperature": 2.0', '"temperature": NaN'),
        ('"temperature": 2.0', '"temperature": 0'),
        ('"temperature": 2.0', '"temperature": 1e-320'),
        ('"temperature": 2.0', '"temperature": Infinity'),
        ('"temperature": 2.0', '"temperature": true'),
        ('"temperature": 2.0', '"temperature": "2"'),
        ('"threshold": 0.6', '"threshold": -0.1'),
        ('"threshold": 0.6', '"threshold": 1.1'),
        ('"ece_before": 0.04', '"ece_before": null'),
        ('"ece_after": 0.03', '"ece_after": NaN'),
    ],
)
def test_calibration_by_impossible_numbers_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, instead: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    content = json.dumps({"calibration": CALIBRATION})
    Path("metrics", f"{MODEL}.json").write_text(content.replace(written, instead))

    with pytest.raises(PipelineError, match="has no calibration; run `dvc repro evaluate@"):
        read_calibration(MODEL)


@pytest.mark.parametrize("members", ["MobileNet", {"MobileNet": 1}, [["MobileNet"]], None])
def test_members_of_another_shape_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: object
) -> None:
    monkeypatch.chdir(tmp_path)
    write_training({"members": members})

    with pytest.raises(PipelineError, match="json is missing or damaged"):
        read_members(MODEL)


@pytest.mark.parametrize("files", ["models/MobileNetV2.keras", {"sha256": "0"}, ["0"], [None], 1])
def test_hash_in_a_list_of_another_shape_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: object
) -> None:
    monkeypatch.chdir(tmp_path)
    write_training({"files": files})

    with pytest.raises(PipelineError, match="json is missing or damaged"):
        read_model_hash(MODEL)
