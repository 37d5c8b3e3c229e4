"""The authors' lists: what they decide, what they leave open, and which are refused."""

import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from split_work import NO_COPIES, WriteLists, photo, photos_in

from trashnet.errors import PipelineError
from trashnet.listed_splits import split_by_lists


def test_lists_decide_by_file_name(write_lists: WriteLists) -> None:
    photos = photos_in([["glass"], ["glass"], ["paper"]])
    url = write_lists(train=["0-0.jpg 1"], val=["2-0.jpg 2"], test=["1-0.jpg 1"])

    splits = split_by_lists(photos, NO_COPIES, url).set_index("path")

    assert splits["split"].to_dict() == {
        "glass/0-0.jpg": "train",
        "glass/1-0.jpg": "test",
        "paper/2-0.jpg": "val",
    }


def test_photo_in_no_list_is_dropped_and_told(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1"])

    splits = split_by_lists(photos_in([["glass"], ["glass"]]), NO_COPIES, url)

    assert splits["split"].tolist() == ["train", "dropped"]
    assert splits["reason"].tolist() == ["", "In none of the three lists."]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"test": ["copy.jpg 1"]}, "test"),
        ({"train": ["0-0.jpg 1"], "test": ["copy.jpg 1"]}, "test"),
        ({"val": ["0-0.jpg 1"], "train": ["copy.jpg 1"]}, "val"),
        ({"test": ["0-0.jpg 1"]}, "test"),
    ],
)
def test_photo_answers_to_the_names_of_its_copies(
    lines: dict[str, list[str]], expected: str, write_lists: WriteLists
) -> None:
    photos = photos_in([["glass"]])
    copies = photos[["path", "sha256"]].assign(path="glass/copy.jpg").set_index(pd.Index([1]))

    splits = split_by_lists(photos, copies, write_lists(**lines))

    assert splits["path"].tolist() == ["glass/0-0.jpg"]
    assert splits["split"].tolist() == [expected]


def test_copies_of_one_name_are_one_photo_to_the_lists(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo("glass/a/1.jpg", group="glass/a/1.jpg")])
    copies = photos[["path", "sha256"]].assign(path="glass/b/1.jpg").set_index(pd.Index([1]))

    splits = split_by_lists(photos, copies, write_lists(val=["1.jpg 1"]))

    assert splits["split"].tolist() == ["val"]


def test_listed_name_without_a_photo_does_no_harm(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1", "left-out.jpg 2"])

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["train"]


def test_lists_may_have_names_with_spaces_blank_lines_and_windows_ends(
    write_lists: WriteLists,
) -> None:
    photos = pd.DataFrame([photo("glass/my jar.jpg", group="glass/my jar.jpg")])
    url = write_lists(val=["", "my jar.jpg 1\r", "  "])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["val"]


def test_corrected_label_does_not_contradict_the_lists(write_lists: WriteLists) -> None:
    photos = photos_in([["glass"], ["glass"], ["paper"]])
    photos.loc[0, "label"] = "paper"
    url = write_lists(train=["0-0.jpg 1", "1-0.jpg 1", "2-0.jpg 2"])

    assert set(split_by_lists(photos, NO_COPIES, url)["split"]) == {"train"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0-0.jpg 1", "0-0.jpg 1"], r"name 0-0\.jpg twice \(in train and train\)"),
        (["0-0.jpg"], r"_train\.txt, line 1: '0-0\.jpg' should be"),
        (["0-0.jpg 1", "1-0.jpg 1"], r"glass/0-0\.jpg class number 1 and paper/1-0\.jpg class"),
        (["0-0.jpg 1", "2-0.jpg 2"], r"glass/0-0\.jpg class number 1 and glass/2-0\.jpg class"),
    ],
)
def test_faulty_lists_are_refused(lines: list[str], message: str, write_lists: WriteLists) -> None:
    url = write_lists(train=lines)

    with pytest.raises(PipelineError, match=message):
        split_by_lists(photos_in([["glass"], ["paper"], ["glass"]]), NO_COPIES, url)


def test_name_in_two_lists_is_refused(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1"], test=["0-0.jpg 1"])

    with pytest.raises(PipelineError, match=r"0-0\.jpg twice \(in train and test\)"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_listed_name_that_two_photos_have_is_refused(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo(path, group=path) for path in ("glass/1.jpg", "paper/1.jpg")])
    url = write_lists(train=["1.jpg 1"])

    with pytest.raises(PipelineError, match=r"glass/1\.jpg and paper/1\.jpg"):
        split_by_lists(photos, NO_COPIES, url)


def test_missing_list_is_named(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "one-indexed_val.txt").unlink()

    with pytest.raises(PipelineError, match=r"has 0 files that end in _val\.txt.*split\.files"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_list_that_is_no_text_is_refused(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "one-indexed_val.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(PipelineError, match=r"_val\.txt is not UTF-8"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_missing_folder_names_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"split\.files"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, str(tmp_path / "nowhere"))


def test_name_that_two_photos_have_does_no_harm_where_no_list_has_it(
    write_lists: WriteLists,
) -> None:
    paths = ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg"]
    photos = pd.DataFrame([photo(path, group=path) for path in paths])

    splits = split_by_lists(photos, NO_COPIES, write_lists(val=["2.jpg 1"]))

    assert splits["split"].tolist() == ["dropped", "val", "dropped"]


def test_two_lists_of_one_split_are_refused(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "zero-indexed_val.txt").touch()

    with pytest.raises(PipelineError, match=r"has 2 files that end in _val\.txt"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_lists_may_take_letters_apart(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo("glass/grün.jpg", group="glass/grün.jpg")])
    url = write_lists(val=[f"{unicodedata.normalize('NFD', 'grün.jpg')} 1"])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["val"]


def test_lists_may_begin_with_a_mark_of_their_encoding(write_lists: WriteLists) -> None:
    url = write_lists(val=["\ufeff0-0.jpg 1"])

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["val"]


def test_folder_of_the_lists_needs_no_slash_at_its_end(write_lists: WriteLists) -> None:
    url = write_lists(val=["0-0.jpg 1"]).rstrip("/")

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["val"]


def test_folders_in_a_class_do_not_contradict_the_lists(write_lists: WriteLists) -> None:
    paths = ["glass/green/1.jpg", "glass/white/2.jpg"]
    photos = pd.DataFrame([photo(path, group=path) for path in paths])
    url = write_lists(train=["1.jpg 1", "2.jpg 1"])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["train", "train"]


def test_lists_of_another_dataset_are_refused(write_lists: WriteLists) -> None:
    url = write_lists(train=["1.png 1"])

    with pytest.raises(PipelineError, match=r"name no photo.*they have 1\.png, it has 0-0\.jpg"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_files_of_the_lists_that_are_no_photos_here_are_counted(
    write_lists: WriteLists, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write_lists(train=["0-0.jpg 1", "7.jpg 1"], test=["8.jpg 1"])

    split_by_lists(photos_in([["glass"]]), NO_COPIES, url)

    assert "2 of the 3 files in the lists are no usable photos" in capsys.readouterr().out


def test_lists_whose_files_are_all_here_are_taken_without_a_word(
    write_lists: WriteLists, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write_lists(train=["0-0.jpg 1"])

    split_by_lists(photos_in([["glass"]]), NO_COPIES, url)

    assert capsys.readouterr().out == ""
