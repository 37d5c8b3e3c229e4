"""``python -m trashnet predict`` on what people did not mean to give it, and how much it takes."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from app_work import IMAGE_SIZE

from trashnet.__main__ import main, write_table
from trashnet.prediction import Answer, answer, find_photos

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("trained")
PHOTO = Path("data/images/red/red.png")


def test_photo_that_the_model_gives_no_numbers_for_is_told_and_the_rest_goes_on() -> None:
    predict = Mock(return_value=np.array([[np.nan, 0, 1], [0, 0, 1]]))

    broken, whole = answer(predict, [PHOTO] * 2, IMAGE_SIZE)

    assert broken.probabilities is None
    assert broken.error == (
        "data/images/red/red.png has no answer, because the model gives no numbers for it; "
        "train it again."
    )
    assert not whole.error


def test_photos_in_a_linked_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("data/images/red")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/more").symlink_to("../data/images/<green>")

    assert find_photos([Path("link"), Path("photos")]) == [
        Path("link/maroon.png"),
        Path("link/navy.png"),
        Path("link/red.png"),
        Path("photos/more/lime.png"),
    ]


def test_link_to_a_folder_around_it_is_not_followed() -> None:
    Path("data/images/<green>/all").symlink_to("..")

    assert find_photos([Path("data/images/<green>")]) == [Path("data/images/<green>/lime.png")]


def test_empty_name_does_not_stand_for_the_current_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", ""])

    assert "a name is empty; name photos, or . for this folder" in capsys.readouterr().err


def test_class_name_with_commands_to_the_terminal_is_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_table([Answer(PHOTO, np.array([0.25, 0.75]))], ["\x1b[31mred", "\x9bblue\n"], 2)

    assert capsys.readouterr().out == f"{PHOTO}  ?blue?   75.0%   ?[31mred 25.0%\n"


def test_advice_for_an_exported_model_goes_by_its_name_in_capitals_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("MINE.TFLITE").write_text("no model")

    main(["predict", str(PHOTO), "--model", "MINE.TFLITE"])

    assert (
        "MINE.TFLITE is not a LiteRT model that this pipeline exported" in capsys.readouterr().err
    )


def run_in_shell(arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m trashnet`` as a shell does, with what is closed among the arguments."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m trashnet predict {PHOTO} {arguments}"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_answers_go_out_where_there_is_no_room_for_errors(closed: str) -> None:
    done = run_in_shell(f"nowhere.jpg {closed}")

    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{PHOTO}  red ")


def test_closed_standard_output_is_told_before_any_work(trained: Path) -> None:
    (trained / "models/MobileNetV2.keras").unlink()

    done = run_in_shell(">&-")

    assert done.returncode == 1
    assert done.stderr == (
        "trashnet: standard output is closed, where the answers would go; open it.\n"
    )
