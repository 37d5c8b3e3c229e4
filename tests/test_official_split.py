"""The authors' split: twins on two sides are dropped, validation photos are lent."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from split_work import groups_of_any_classes, photos_in, seeds, singles

from stages.split import drop_straddling_twins, lend_val
from trashnet.dataset import SPLIT_NAMES


@pytest.mark.parametrize(
    ("sides", "kept"),
    [
        (["train", "test"], ["dropped", "test"]),
        (["train", "val"], ["dropped", "val"]),
        (["val", "test"], ["dropped", "test"]),
        (["test", "val", "train", "test"], ["test", "dropped", "dropped", "test"]),
        (["train", "train"], ["train", "train"]),
        (["dropped", "train"], ["dropped", "train"]),
    ],
)
def test_twins_stay_on_one_side_test_before_val_before_train(
    sides: list[str], kept: list[str]
) -> None:
    photos = photos_in([["glass"] * len(sides)]).assign(split=sides, reason="")

    assert drop_straddling_twins(photos)["split"].tolist() == kept


def test_dropped_twin_is_told_which_twin_stays() -> None:
    photos = photos_in([["glass", "paper"]]).assign(split=["train", "test"], reason="")

    reasons = drop_straddling_twins(photos)["reason"].tolist()

    assert reasons == ["Near-duplicate of paper/0-1.jpg in test.", ""]


@given(groups_of_any_classes, st.randoms(use_true_random=False))
def test_no_group_straddles_the_lists_either(
    groups: list[list[str]], shuffler: random.Random
) -> None:
    photos = photos_in(groups)
    sides = shuffler.choices([*SPLIT_NAMES, "dropped"], k=len(photos))

    splits = drop_straddling_twins(photos.assign(split=sides, reason=""))

    used = splits[splits["split"] != "dropped"]
    assert used.groupby("group")["split"].nunique().eq(1).all()


@given(groups_of_any_classes, seeds, st.floats(0.01, 0.99))
def test_lent_validation_photos_train_and_the_test_stays(
    groups: list[list[str]], seed: int, share: float
) -> None:
    photos = photos_in(groups)
    split_names = np.resize(["val", "test", "val", "train", "dropped"], len(photos))
    listed = photos.assign(split=split_names, reason="")

    splits = lend_val(listed, seed, share)

    moved = splits["split"] != listed["split"]
    assert set(listed.loc[moved, "split"]) <= {"val"}
    assert set(splits.loc[moved, "split"]) <= {"train"}
    was_val = splits[listed["split"] == "val"]
    assert (was_val.groupby("group")["split"].nunique() == 1).all()


def test_another_seed_lends_others() -> None:
    photos = singles({"glass": 50}).assign(split="val", reason="")

    one, other = (lend_val(photos, seed, 0.2)["split"].tolist() for seed in (1, 2))

    assert one != other


def test_share_is_of_the_validation_photos_alone() -> None:
    photos = singles({"glass": 60})
    listed = photos.assign(split=np.resize(["val", "train", "test"], 60), reason="")

    kept = [(lend_val(listed, seed, 0.25)["split"] == "val").sum() for seed in range(5)]

    assert kept == [5] * 5


def test_each_class_keeps_its_share_of_the_validation_photos() -> None:
    photos = singles({"glass": 50, "paper": 10}).assign(split="val", reason="")

    splits = lend_val(photos, seed=1, share=0.2)

    kept = splits[splits["split"] == "val"]
    assert kept["label"].value_counts().to_dict() == {"glass": 10, "paper": 2}


def test_a_share_of_one_lends_nothing() -> None:
    photos = singles({"glass": 5}).assign(split="val", reason="")

    assert lend_val(photos, seed=1, share=1)["split"].tolist() == ["val"] * 5
