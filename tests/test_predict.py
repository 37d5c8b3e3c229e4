"""``python -m trashnet predict``: what it answers, in which form, and what it says of bad input."""

import csv
import json
import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from predict_work import CLASSES, IMAGE_SIZE, color_classifier, write_model_and_photos

from trashnet.__main__ import main, make_predictor
from trashnet.classifier import Classifier
from trashnet.images import load_batches, load_pixels
from trashnet.metrics import predictions_table, read_predictions, write_predictions
from trashnet.networks import compile_inference
from trashnet.prediction import BATCH_SIZE, answer, find_photos

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder with a comparison of two models and photos of three colours."""
    monkeypatch.chdir(tmp_path)
    write_model_and_photos()
    return tmp_path


def test_table_names_each_photo_with_its_likeliest_classes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["predict", "photos/b.jpg", "--top", "2"])

    line = capsys.readouterr().out
    assert status == 0
    assert line.startswith("photos/b.jpg  red ")
    assert line.count("%") == 2


def test_folder_stands_for_its_photos_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/.hidden.jpg").write_bytes(b"")
    Path("photos/notes.txt").write_text("not a photo")

    main(["predict", "photos", "--json"])

    answers = json.loads(capsys.readouterr().out)
    assert [(item["path"], item["predicted"]) for item in answers] == [
        ("photos/a.PNG", "blue, or cyan"),
        ("photos/b.jpg", "red"),
        ("photos/more/c.jpeg", "green"),
    ]


def test_json_holds_every_probability(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "photos/b.jpg", "--json"])

    (item,) = json.loads(capsys.readouterr().out)
    expected = color_classifier().predictor()(load_pixels(Path("photos/b.jpg"), IMAGE_SIZE)[None])
    assert list(item["probabilities"]) == CLASSES
    assert list(item["probabilities"].values()) == pytest.approx(expected[0], abs=1e-6)
    assert item["probability"] == item["probabilities"]["red"]


def test_csv_has_a_column_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "photos/b.jpg", "nowhere.jpg", "--csv"])

    red, missing = csv.DictReader(StringIO(capsys.readouterr().out))
    assert list(red) == ["path", "predicted", "probability", *(f"p_{c}" for c in CLASSES), "error"]
    assert (red["predicted"], red["probability"], red["error"]) == ("red", red["p_red"], "")
    assert missing["predicted"] == ""
    assert "nowhere.jpg cannot be read" in missing["error"]


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Path("photos/b.jpg").read_bytes()
    Path("photos/cut.jpg").write_bytes(whole[: len(whole) // 2])
    Path("photos/text.jpg").write_text("hello")
    Path("empty").mkdir()

    status = main(["predict", "nowhere.jpg", "photos", "empty"])

    captured = capsys.readouterr()
    assert status == 1
    assert len(captured.out.splitlines()) == 3
    faults = captured.err.splitlines()
    assert [fault.split()[1] for fault in faults] == [
        "nowhere.jpg", "photos/cut.jpg", "photos/text.jpg", "empty",
    ]  # fmt: skip


def test_json_keeps_the_place_of_what_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["predict", "photos/b.jpg", "nowhere.jpg", "photos/a.PNG", "--json"])

    answers = json.loads(capsys.readouterr().out)
    assert status == 1
    assert [sorted(item) for item in answers] == [
        ["path", "predicted", "probabilities", "probability"],
        ["error", "path"],
        ["path", "predicted", "probabilities", "probability"],
    ]


def test_csv_repeats_the_predictions_of_evaluate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = find_photos([Path("photos")])
    (pixels,) = load_batches(paths, IMAGE_SIZE, BATCH_SIZE)
    probabilities = color_classifier().predictor()(pixels)
    labels = ["red"] * len(paths)
    write_predictions("test.csv", predictions_table(paths, labels, probabilities, CLASSES))

    main(["predict", "photos", "--csv"])

    said = pd.read_csv(StringIO(capsys.readouterr().out))
    evaluated = read_predictions("test.csv")
    assert said[["path", "predicted"]].equals(evaluated[["path", "predicted"]])
    columns = [f"p_{name}" for name in CLASSES]
    np.testing.assert_allclose(said[columns], evaluated[columns], rtol=0, atol=1e-6)


def test_a_name_too_long_for_the_system_is_told_like_any_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "a" * 300 + ".jpg"

    assert main(["predict", name, "photos/b.jpg"]) == 1

    captured = capsys.readouterr()
    assert captured.out.startswith("photos/b.jpg")
    assert captured.err.startswith(f"trashnet: {name} cannot be read (File name too long)")


def test_photo_in_a_folder_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/more/gone.jpg").symlink_to("nowhere.jpg")

    assert main(["predict", "photos/more"]) == 1

    captured = capsys.readouterr()
    assert captured.out.startswith("photos/more/c.jpeg")
    assert captured.err.startswith("trashnet: photos/more/gone.jpg cannot be read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_folder_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/locked").mkdir(mode=0)

    assert main(["predict", "photos"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("trashnet: photos/locked cannot be read (Permission denied)")


def test_what_is_no_file_in_a_folder_is_passed_over() -> None:
    """A pipe would be waited for, for ever."""
    os.mkfifo("photos/more/pipe.jpg")
    Path("photos/more/folder.jpg").mkdir()

    assert find_photos([Path("photos/more")]) == [Path("photos/more/c.jpeg")]


@pytest.mark.parametrize(("photos", "bars"), [(1, 0), (BATCH_SIZE + 1, 1)])
def test_only_many_photos_show_a_bar(
    photos: int, bars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = Mock(side_effect=lambda answers, *_, **__: answers)
    monkeypatch.setattr("trashnet.__main__.progress", bar)

    main(["predict", *["photos/b.jpg"] * photos])

    assert bar.call_count == bars


def test_answers_do_not_depend_on_what_stands_beside_a_photo() -> None:
    """Across the border of a batch, with a broken photo in each."""
    classifier = color_classifier()
    names = ["b.jpg", "a.PNG", "nowhere.jpg", "more/c.jpeg"] * 20
    paths = [Path("photos", name) for name in names]

    answers = list(answer(classifier.predictor(), paths, IMAGE_SIZE))

    said = {"b.jpg": 2, "a.PNG": 0, "more/c.jpeg": 1}
    assert [item.path for item in answers] == paths
    for name, item in zip(names, answers, strict=True):
        if item.probabilities is None:
            assert name == "nowhere.jpg"
        else:
            assert item.probabilities.argmax() == said[name]


@pytest.mark.parametrize(("many", "compiled"), [(5, 0), (4, 1)])
def test_many_photos_get_the_same_answers_by_the_faster_way(
    many: int, compiled: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["predict", "photos", "nowhere.jpg", "--csv"])
    of_few = pd.read_csv(StringIO(capsys.readouterr().out))
    compile_ = Mock(wraps=compile_inference)
    monkeypatch.setattr("trashnet.networks.compile_inference", compile_)
    monkeypatch.setattr("trashnet.__main__.MANY_PHOTOS", many)

    main(["predict", "photos", "nowhere.jpg", "--csv"])

    assert compile_.call_count == compiled
    pd.testing.assert_frame_equal(pd.read_csv(StringIO(capsys.readouterr().out)), of_few, atol=1e-5)


def test_few_photos_are_shown_to_keras_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dozens of large ones with their mirror images took six gigabytes."""
    predict = Mock(return_value=np.ones((1, 3)))
    monkeypatch.setattr(Classifier, "predictor", lambda _: predict)

    list(answer(make_predictor(color_classifier(), 2), [Path("photos/b.jpg")] * 2, IMAGE_SIZE))

    assert [len(call.args[0]) for call in predict.call_args_list] == [1, 1]


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_top_must_be_a_number_from_one(top: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "photos/b.jpg", "--top", top])

    assert "should be a number from 1" in capsys.readouterr().err


def test_folders_are_searched_whatever_the_case_of_the_suffix() -> None:
    assert find_photos([Path("photos/more"), Path("photos/a.PNG")]) == [
        Path("photos/more/c.jpeg"),
        Path("photos/a.PNG"),
    ]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe"])
def test_folders_are_searched_for_every_name_of_a_jpeg(suffix: str) -> None:
    renamed = Path("photos/more/c.jpeg").rename(f"photos/more/d{suffix}")

    assert find_photos([Path("photos/more")]) == [renamed]


def test_name_with_line_breaks_and_commands_is_one_harmless_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("photos/more/c.jpeg").rename("photos/more/c\n\x1b[31m.jpeg")

    assert main(["predict", "photos/more"]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("photos/more/c??[31m.jpeg")


def test_wrong_arguments_are_answered_without_loading_tensorflow() -> None:
    program = (
        "import sys, trashnet.__main__; "
        "print(sorted({'keras', 'tensorflow', 'pandas'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    assert loaded.stdout == "[]\n", loaded.stderr


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii"])
def test_a_name_that_is_no_text_goes_out_as_it_came_in(trained: Path, encoding: str) -> None:
    """In a process of its own, because only there standard output is a stream of bytes."""
    shutil.copy("photos/b.jpg", Path("photos", os.fsdecode(b"\xff.jpg")))
    shutil.copy("photos/b.jpg", "photos/Gl\u00e4ser.jpg")

    done = subprocess.run(
        [sys.executable, "-m", "trashnet", "predict", "photos"],
        cwd=trained,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding},
        check=False,
        capture_output=True,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [b"photos/Gl\xc3\xa4ser.jpg", b"red"],
        [b"photos/a.PNG", b"blue,"],
        [b"photos/b.jpg", b"red"],
        [b"photos/more/c.jpeg", b"green"],
        [b"photos/\xff.jpg", b"red"],
    ]


def test_address_of_a_photo_is_refused_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "https://example.org/b.jpg"])

    assert "download https://example.org/b.jpg first" in capsys.readouterr().err
