"""The prepare stage: what a file of corrections changes, and which ones are refused."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from params_work import write_params_of_mine
from prepare_work import PutFile, images, jpeg, manifest

from stages import prepare
from trashnet.dataset import MANIFEST
from trashnet.errors import PipelineError

CORRECTIONS = "corrections/mine.csv"

Correct = Callable[[str], None]


@pytest.fixture
def correct(tmp_path: Path, dataset: None) -> Correct:
    """Return how to write corrections for the dataset and point params.yaml at them."""

    def correct(table: str) -> None:
        Path("corrections").mkdir(exist_ok=True)
        Path(CORRECTIONS).write_text(table, encoding="utf-8")
        write_params_of_mine(tmp_path, corrections=CORRECTIONS)

    return correct


def test_correction_changes_the_label_and_not_the_place(correct: Correct) -> None:
    correct("file,class\nglass/2.jpg,paper\n")

    table = manifest()

    assert table["label"].tolist() == ["glass", "paper", "paper", "paper"]
    assert "glass/2.jpg" in images()


def test_correction_leaves_a_file_out(correct: Correct) -> None:
    correct("file,class\nglass/2.jpg,exclude\n")

    row = manifest().loc["glass/2.jpg"]

    assert (row["status"], row["reason"]) == ("excluded", "Excluded by corrections/mine.csv.")
    assert "glass/2.jpg" not in images()


def test_excluded_file_keeps_its_label(correct: Correct) -> None:
    correct("file,class\nglass/2.jpg,exclude\n")

    assert manifest().loc["glass/2.jpg", "label"] == "glass"


def test_class_may_be_excluded_whole(correct: Correct, put_file: PutFile) -> None:
    put_file("metal/1.jpg", jpeg(5))
    correct("file,class\nmetal/1.jpg,exclude\n")

    assert "metal/1.jpg" not in images()
    assert set(manifest().query("status == 'ok'")["label"]) == {"glass", "paper"}


def test_copy_takes_the_place_of_an_excluded_file(correct: Correct, put_file: PutFile) -> None:
    put_file("glass/copy.jpg", jpeg(0))
    correct("file,class\nglass/1.jpg,exclude\n")

    assert manifest()["status"].filter(like="glass").to_dict() == {
        "glass/1.jpg": "excluded",
        "glass/2.jpg": "ok",
        "glass/copy.jpg": "ok",
    }


def test_correction_settles_a_label_conflict(correct: Correct, put_file: PutFile) -> None:
    put_file("paper/copy.jpg", jpeg(0))
    correct("file,class\npaper/copy.jpg,exclude\n")

    assert manifest().loc["glass/1.jpg", "status"] == "ok"


def test_correction_makes_a_conflict_a_duplicate(correct: Correct, put_file: PutFile) -> None:
    put_file("paper/copy.jpg", jpeg(0))
    correct("file,class\npaper/copy.jpg,glass\n")

    table = manifest()

    assert table.loc[["glass/1.jpg", "paper/copy.jpg"], "status"].tolist() == ["ok", "duplicate"]


def test_corrections_may_come_from_a_spreadsheet_with_notes(correct: Correct) -> None:
    correct("\ufefffile,class,note\nglass/2.jpg,paper,see the label on it\n")

    assert manifest().loc["glass/2.jpg", "label"] == "paper"


def test_corrections_may_take_letters_apart(correct: Correct, put_file: PutFile) -> None:
    put_file("glass/grün.jpg", jpeg(9))
    correct(f"file,class\n{unicodedata.normalize('NFD', 'glass/grün.jpg')},paper\n")

    assert manifest().loc["glass/grün.jpg", "label"] == "paper"


def test_classes_that_are_numbers_can_be_corrected(put_file: PutFile, tmp_path: Path) -> None:
    for number, path in enumerate(["1/1.jpg", "1/2.jpg", "2/1.jpg"]):
        put_file(path, jpeg(number))
    Path("corrections").mkdir()
    Path(CORRECTIONS).write_text("file,class\n1/2.jpg,2\n")
    write_params_of_mine(tmp_path, corrections=CORRECTIONS)

    assert manifest()["label"].tolist() == ["1", "2", "2"]


def test_class_with_a_comma_stands_in_quotes(correct: Correct, put_file: PutFile) -> None:
    put_file("paper, brown/1.jpg", jpeg(9))
    correct('file,class\nglass/2.jpg,"paper, brown"\n')

    assert manifest().loc["glass/2.jpg", "label"] == "paper, brown"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,class\nglass/77.jpg,paper\n", "'glass/77.jpg', which is not in the dataset"),
        ("file,class\nglass/1.jpg,wood\n", "'wood'; it should be one of exclude, glass, paper"),
        ("file,class\nglass/1.jpg\n", "''; it should be one of"),
        ("file,class\nglass/1.jpg,paper\nglass/1.jpg,glass\n", "names glass/1.jpg twice"),
        ("path,label\nglass/1.jpg,paper\n", "datasets.mine.corrections"),
        ("", "datasets.mine.corrections"),
        ("file,class\nglass/2.jpg,paper, brown\n", "names with commas stand in quotes"),
        ("file,class,note\nglass/2.jpg,paper, brown,a note\n", "names with commas stand in quotes"),
    ],
)
def test_wrong_correction_stops_the_stage(table: str, message: str, correct: Correct) -> None:
    correct(table)

    with pytest.raises(PipelineError) as caught:
        prepare.main()

    assert CORRECTIONS in str(caught.value)
    assert message in str(caught.value)
    assert not MANIFEST.exists()


def test_correction_to_a_class_called_exclude_would_mean_two_things(
    correct: Correct, put_file: PutFile
) -> None:
    put_file("exclude/1.jpg", jpeg(9))
    correct("file,class\nglass/1.jpg,exclude\n")

    with pytest.raises(PipelineError, match="a class has that name, too; give the class"):
        prepare.main()


def test_corrections_that_leave_one_class_are_refused(correct: Correct) -> None:
    correct("file,class\npaper/1.jpg,glass\npaper/2.jpg,glass\n")

    with pytest.raises(PipelineError, match=r"fewer than two classes \(glass 4\)"):
        prepare.main()


def test_missing_corrections_name_the_parameter(correct: Correct) -> None:
    correct("file,class\n")
    Path(CORRECTIONS).unlink()

    with pytest.raises(
        PipelineError, match=r"corrections/mine\.csv .*git add.* datasets\.mine\.corrections"
    ):
        prepare.main()
