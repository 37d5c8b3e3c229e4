"""Shards: those that are whole are not made again, unless something they depend on has changed."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import trashnet.shards
from trashnet.files import Unfinished, resumable_folder
from trashnet.shards import (
    CLUSTER,
    PHOTOS_URL,
    PhotosElsewhere,
    Shard,
    Work,
    carry_photos,
    cut_shards,
    describe_files,
    for_each_shard,
    identify,
)


def read_number(shard: Shard) -> int:
    return int(shard.name)


class BrokenError(Exception):
    """A shard that fails the first time."""


def test_only_shards_that_are_missing_are_worked_on(tmp_path: Path) -> None:
    shards = cut_shards(pd.DataFrame({"path": list("abcde")}), 2)
    worked_on: list[int] = []

    def work(fails_at: int, number: int) -> int:
        worked_on.append(number)
        if number == fails_at:
            raise BrokenError
        return number

    def run(fails_at: int) -> None:
        with resumable_folder(tmp_path / "it", "a") as unfinished:
            for_each_shard(
                shards, read_number, Work(work, fails_at), lambda *_: None, unfinished, "working"
            )

    with pytest.raises(BrokenError):
        run(fails_at=1)
    run(fails_at=-1)

    assert worked_on == [0, 1, 1, 2]


def test_shard_that_is_finished_early_is_not_lost_with_a_slow_one_before_it(
    tmp_path: Path,
) -> None:
    shards = cut_shards(pd.DataFrame({"path": list("ab")}), 1)
    unfinished = Unfinished(tmp_path / "it", "a")

    def work(_: None, number: int) -> None:
        deadline = time.monotonic() + 10
        while number == 0 and not unfinished.done and time.monotonic() < deadline:
            time.sleep(0.01)
        if number == 0:
            raise BrokenError

    with ThreadPoolExecutor(2) as pool, pytest.raises(BrokenError):
        for_each_shard(shards, read_number, Work(work), lambda *_: None, unfinished, "it", pool)

    assert unfinished.done == {"00001"}


def test_shard_that_is_finished_after_another_failed_is_not_lost(tmp_path: Path) -> None:
    shards = cut_shards(pd.DataFrame({"path": list("ab")}), 1)
    unfinished = Unfinished(tmp_path / "it", "a")
    begun = threading.Barrier(2)

    def work(_: None, number: int) -> None:
        begun.wait(10)
        if number == 0:
            raise BrokenError
        time.sleep(0.2)

    with ThreadPoolExecutor(2) as pool, pytest.raises(BrokenError):
        for_each_shard(shards, read_number, Work(work), lambda *_: None, unfinished, "it", pool)

    assert unfinished.done == {"00001"}


def test_failure_keeps_the_shards_that_wait_from_being_worked_on(tmp_path: Path) -> None:
    shards = cut_shards(pd.DataFrame({"path": list("abcdefgh")}), 1)
    unfinished = Unfinished(tmp_path / "it", "a")
    worked_on: list[int] = []

    def work(_: None, number: int) -> None:
        worked_on.append(number)
        time.sleep(0.05)
        if number == 0:
            raise BrokenError

    with ThreadPoolExecutor(1) as pool, pytest.raises(BrokenError):
        for_each_shard(shards, read_number, Work(work), lambda *_: None, unfinished, "it", pool)

    assert len(worked_on) < 4


def test_shards_are_others_once_code_packages_or_parts_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, table = tmp_path / "stage.py", tmp_path / "table.csv"
    stage.write_text("before")
    table.write_text("before")
    (tmp_path / "shards.py").write_text("before")
    monkeypatch.setattr(trashnet.shards, "__file__", str(tmp_path / "shards.py"))

    def identity(*parts: object) -> str:
        return identify(str(stage), table, *parts)

    identities = {identity(1), identity(2), identity(1, 2), identity(12)}
    for file in (stage, table, tmp_path / "shards.py"):
        file.write_text("after")
        identities.add(identity(1))
    monkeypatch.setattr(trashnet.shards, "version", lambda _: "other")
    identities.add(identity(1))

    assert len(identities) == 8


def test_a_large_file_is_another_once_it_was_written_again(tmp_path: Path) -> None:
    (tmp_path / "views.npy").write_bytes(b"one")
    before = describe_files([tmp_path / "views.npy"])
    assert before == describe_files([tmp_path / "views.npy"])
    (tmp_path / "views.npy").write_bytes(b"two")
    os.utime(tmp_path / "views.npy", ns=(1, 1))

    assert before != describe_files([tmp_path / "views.npy"])


def test_photos_elsewhere_whose_hashes_are_known_are_not_opened_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLUSTER, "auto")
    monkeypatch.setenv(PHOTOS_URL, "gs://photos")
    paths, hashes = ["glass/1.jpg", "glass/2.jpg"], ["aa", "bb"]

    carried = carry_photos(tmp_path / "not here", paths, hashes)

    assert carried == PhotosElsewhere("gs://photos", paths, hashes)
