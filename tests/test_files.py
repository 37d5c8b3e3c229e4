"""Writes are all or nothing: a reader sees the old content or the new."""

import errno
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import trashnet.files
from trashnet.errors import PipelineError
from trashnet.files import (
    atomic_file,
    atomic_folder,
    read_json,
    resumable_folder,
    scratch_folder,
    write_json,
    write_text,
)


class Interrupted(BaseException):
    """Stands for Ctrl-C and every other reason to stop in the middle."""


def test_file_appears_with_its_parents_and_nothing_else(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "new" / "table.csv") as partial:
        partial.write_text("a,b\n")

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.csv"]
    assert (tmp_path / "new" / "table.csv").read_text() == "a,b\n"


def test_file_keeps_its_suffix_while_it_is_written(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "MobileNet.weights.h5") as partial:
        partial.touch()

        assert partial.name.endswith(".weights.h5")


def test_old_file_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    with atomic_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"

    assert target.read_text() == "new"


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    with pytest.raises(Interrupted), atomic_file(target) as partial:
        partial.write_text("half of the n")
        raise Interrupted

    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert target.read_text() == "old"


def test_interrupted_first_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), atomic_file(tmp_path / "table.csv") as partial:
        partial.write_text("half")
        raise Interrupted

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_of_a_file_is_not_written_on(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "table.csv") as partial:
        left_by_the_killed_run = partial
        partial.touch()
    left_by_the_killed_run.write_text("half")

    with atomic_file(tmp_path / "table.csv") as partial, partial.open("a") as file:
        file.write("whole")

    assert (tmp_path / "table.csv").read_text() == "whole"


@pytest.mark.parametrize(
    "write",
    [
        atomic_file,
        atomic_folder,
        lambda path: resumable_folder(path, "a"),
        lambda path: scratch_folder(path, "a"),
    ],
    ids=["file", "folder", "resumable", "scratch"],
)
def test_full_disk_is_told_with_the_name_of_what_was_written(
    write: Callable[[Path], AbstractContextManager[object]], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="No space left") as told, write(tmp_path / "it.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert told.value.filename == str(tmp_path / "it.csv")


def test_folder_appears_with_its_parents(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "data" / "images"):
        pass
    with resumable_folder(tmp_path / "cache" / "views", "a"):
        pass

    assert (tmp_path / "data/images").is_dir()
    assert (tmp_path / "cache/views").is_dir()


def test_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "images"
    target.mkdir()
    (target / "old.jpg").touch()

    with atomic_folder(target) as partial:
        (partial / "new.jpg").touch()
        assert [path.name for path in target.iterdir()] == ["old.jpg"]

    assert [path.name for path in tmp_path.rglob("*")] == ["images", "new.jpg"]


def test_interrupted_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "images"
    target.mkdir()
    (target / "old.jpg").touch()

    with pytest.raises(Interrupted), atomic_folder(target) as partial:
        (partial / "new.jpg").touch()
        raise Interrupted

    assert [path.name for path in tmp_path.rglob("*")] == ["images", "old.jpg"]


def test_folder_starts_empty_after_a_killed_run(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "images") as partial:
        left_by_the_killed_run = partial
    left_by_the_killed_run.mkdir()
    (left_by_the_killed_run / "half.jpg").touch()

    with atomic_folder(tmp_path / "images") as partial:
        assert list(partial.iterdir()) == []


def break_off(folder: Path, identity: str) -> None:
    """Finish one shard of two and fail in the second."""
    with pytest.raises(Interrupted), resumable_folder(folder, identity) as unfinished:
        (unfinished.folder / "one").write_text("whole")
        unfinished.add("one")
        (unfinished.folder / "two").write_text("ha")
        raise Interrupted


def test_finished_shards_outlive_a_failure(tmp_path: Path) -> None:
    break_off(tmp_path / "views", "a")

    with resumable_folder(tmp_path / "views", "a") as unfinished:
        assert unfinished.done == {"one"}
        assert (unfinished.folder / "one").read_text() == "whole"


def test_shards_of_another_identity_are_removed(tmp_path: Path) -> None:
    break_off(tmp_path / "views", "a")

    with resumable_folder(tmp_path / "views", "b") as unfinished:
        assert unfinished.done == set()
        assert not (unfinished.folder / "one").exists()


def test_shards_from_before_the_machine_started_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(tmp_path / "views", "a")
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(trashnet.files, "BOOT", tmp_path / "boot")

    with resumable_folder(tmp_path / "views", "a") as unfinished:
        assert unfinished.done == set()


def test_a_failure_leaves_the_folder_of_before(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views/old").touch()

    break_off(tmp_path / "views", "a")

    assert [path.name for path in (tmp_path / "views").iterdir()] == ["old"]


def test_a_finished_folder_holds_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    break_off(tmp_path / "views", "a")
    with resumable_folder(tmp_path / "views", "a") as unfinished:
        (unfinished.folder / "two").touch()

    assert [path.name for path in tmp_path.iterdir()] == ["views"]
    assert sorted(path.name for path in (tmp_path / "views").iterdir()) == ["one", "two"]


def test_a_finished_folder_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views/old").touch()

    with resumable_folder(tmp_path / "views", "a") as unfinished:
        (unfinished.folder / "new").touch()

    assert [path.name for path in tmp_path.rglob("*")] == ["views", "new"]


def test_a_scratch_folder_is_removed_on_success(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "rows", "a") as unfinished:
        (unfinished.folder / "one").touch()

    assert list(tmp_path.iterdir()) == []


def test_temporary_names_are_ignored_by_git(tmp_path: Path) -> None:
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().splitlines()

    with atomic_file(tmp_path / "table.csv") as partial:
        partial.touch()

        assert partial.match(next(pattern for pattern in ignored if "partial" in pattern))


def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    write_text(tmp_path / "report.md", "größer als 90 %\n")

    assert (tmp_path / "report.md").read_bytes() == "größer als 90 %\n".encode()


def test_json_reads_back_as_it_was(tmp_path: Path) -> None:
    value = {"test": {"accuracy": 0.1 + 0.2}, "models": ["MobileNet"]}

    write_json(tmp_path / "metrics.json", value)

    assert read_json(tmp_path / "metrics.json") == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "is missing; run `dvc repro`"),
        ('{"test": {"accu', "is not valid JSON"),
        ("[0.9]", "holds no JSON object"),
    ],
)
def test_json_that_no_stage_wrote_is_named(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    path = tmp_path / "metrics.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(PipelineError, match=f"metrics.json {complaint}"):
        read_json(path)


def test_json_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes(b'{"model": "gr\xfc\xdfe"}')

    with pytest.raises(PipelineError, match=r"metrics\.json is not valid JSON"):
        read_json(tmp_path / "metrics.json")


def test_json_without_a_number_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"loss": 1.0})

    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"loss": float("nan")})

    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 1.0}


def test_a_file_that_is_missing_is_told_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as told, atomic_file(tmp_path / "it.csv"):
        (tmp_path / "missing.jpg").read_bytes()

    assert told.value.filename == str(tmp_path / "missing.jpg")
