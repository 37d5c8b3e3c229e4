"""The draw of the splits: who trains, who validates, who tests, and that no group is torn."""

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from split_work import (
    folds,
    groups_of_any_classes,
    groups_of_one_class,
    photo,
    photos_in,
    seeds,
    shares,
    singles,
)

from stages.split import split_fold, split_stratified
from trashnet.dataset import SPLIT_NAMES


@given(groups_of_any_classes, seeds, shares, shares)
def test_every_photo_has_one_split(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    photos = photos_in(groups)

    splits = split_stratified(photos, seed, test, val)

    assert splits["path"].tolist() == photos["path"].tolist()
    assert set(splits["split"]) <= set(SPLIT_NAMES)


@given(groups_of_any_classes, seeds, shares, shares)
def test_no_group_straddles_two_splits(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    splits = split_stratified(photos_in(groups), seed, test, val)

    assert splits.groupby("group")["split"].nunique().max() == 1


@given(groups_of_one_class, seeds, shares, shares)
def test_each_class_gets_its_share_to_within_one_group(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    splits = split_stratified(photos_in(groups), seed, test, val)

    for _, of_class in splits.groupby("label"):
        largest_group = of_class["group"].value_counts().max()
        counts = of_class["split"].value_counts()
        for name, share in {"test": test, "val": val, "train": 1 - test - val}.items():
            assert abs(counts.get(name, 0) - share * len(of_class)) <= largest_group + 1e-6


@given(groups_of_any_classes, seeds, shares, shares, st.integers(0, 10**6))
def test_added_file_moves_one_group_a_border_in_its_class_and_none_elsewhere(
    groups: list[list[str]], seed: int, test: float, val: float, number: int
) -> None:
    photos = photos_in(groups)
    new = f"glass/new{number}.jpg"
    more = pd.concat([photos, pd.DataFrame([photo(new, group=new)])], ignore_index=True)

    before = split_stratified(photos, seed, test, val).set_index("path")
    after = split_stratified(more, seed, test, val).set_index("path").loc[before.index]

    counted_with = photos.sort_values("sha256").groupby("group")["label"].first()
    at_home = before["group"].map(counted_with) == "glass"
    assert before.loc[~at_home, "split"].equals(after.loc[~at_home, "split"])
    for beyond_border in (["test"], ["test", "val"]):
        crossed = before["split"].isin(beyond_border) != after["split"].isin(beyond_border)
        assert before.loc[crossed, "group"].nunique() <= 1


@given(groups_of_any_classes, seeds, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(
    groups: list[list[str]], seed: int, shuffler: random.Random
) -> None:
    photos = photos_in(groups)
    order = shuffler.sample(range(len(photos)), len(photos))

    shuffled = split_stratified(photos.iloc[order], seed, 0.2, 0.2)

    pd.testing.assert_frame_equal(
        shuffled.sort_index(), split_stratified(photos, seed, 0.2, 0.2), check_like=True
    )


@given(groups_of_any_classes, seeds)
def test_names_of_the_files_do_not_matter(groups: list[list[str]], seed: int) -> None:
    photos = photos_in(groups)
    new_names = {path: f"{len(photos) - row}.png" for row, path in enumerate(photos["path"])}
    renamed = photos.assign(
        path=photos["path"].map(new_names), group=photos["group"].map(new_names)
    )

    splits = split_stratified(renamed, seed, 0.2, 0.2)

    assert splits["split"].tolist() == split_stratified(photos, seed, 0.2, 0.2)["split"].tolist()


def test_another_seed_draws_another_split() -> None:
    photos = singles({"glass": 50, "paper": 50})

    one, other = (split_stratified(photos, seed, 0.2, 0.2)["split"] for seed in (1, 2))

    assert one.tolist() != other.tolist()
    assert one.value_counts().to_dict() == other.value_counts().to_dict()


def test_draw_is_the_same_on_every_machine() -> None:
    splits = split_stratified(singles({"glass": 10}), 1, 0.2, 0.2).set_index("split")["path"]

    assert splits["test"].tolist() == ["glass/4-0.jpg", "glass/7-0.jpg"]


@given(groups_of_any_classes, seeds, folds)
def test_folds_together_test_every_photo_once(
    groups: list[list[str]], seed: int, folds: int
) -> None:
    photos = photos_in(groups)

    tested = [
        split_fold(photos, seed, fold, folds, val=0.1)["split"] == "test"
        for fold in range(1, folds + 1)
    ]

    assert (np.sum(tested, axis=0) == 1).all()


@given(groups_of_any_classes, seeds, folds, st.data())
def test_no_group_straddles_the_splits_of_a_fold(
    groups: list[list[str]], seed: int, folds: int, data: st.DataObject
) -> None:
    fold = data.draw(st.integers(1, folds))

    splits = split_fold(photos_in(groups), seed, fold, folds, val=0.3)

    assert splits.groupby("group")["split"].nunique().max() == 1


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
def test_every_fold_has_its_shares_of_each_class(fold: int) -> None:
    photos = singles({"glass": 100, "paper": 40})

    splits = split_fold(photos, seed=1, fold=fold, folds=5, val=0.15)

    counts = splits.groupby("label")["split"].value_counts().unstack().astype(int)
    assert counts.loc["glass"].to_dict() == {"test": 20, "train": 65, "val": 15}
    assert counts.loc["paper"].to_dict() == {"test": 8, "train": 26, "val": 6}


def test_first_fold_is_the_stratified_split_of_its_share() -> None:
    photos = singles({"glass": 50, "paper": 20})

    fold = split_fold(photos, seed=3, fold=1, folds=5, val=0.2)

    pd.testing.assert_frame_equal(fold, split_stratified(photos, 3, 0.2, 0.2))
