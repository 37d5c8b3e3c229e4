"""Decide which photos train, validate and test; no near-duplicate group straddles two splits."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from trashnet.dataset import FIRST_TO_KEEP, SPLIT_NAMES, SPLITS, read_manifest
from trashnet.errors import PipelineError
from trashnet.files import atomic_file, write_json
from trashnet.listed_splits import split_by_lists
from trashnet.params import load_params
from trashnet.stage import log, run_stage

METRICS = Path("metrics/split.json")

ADVICE = {
    "stratified": {
        "train": ["lower split.test", "lower split.val"],
        "val": ["raise split.val"],
        "test": ["raise split.test"],
    },
    "kfold": {
        "train": ["raise split.folds", "lower split.val"],
        "val": ["raise split.val"],
        "test": ["lower split.folds"],
    },
    "official": {
        "train": ["mend the lists", "lower split.listed_val"],
        "val": ["mend the lists", "raise split.listed_val"],
        "test": ["mend the lists"],
    },
}
"""By method and split, what may give that split a photo of a class that it lacks."""


def main() -> None:
    """Write data/splits.csv and metrics/split.json."""
    params = load_params()
    settings = params.split
    manifest = read_manifest()
    photos = manifest.loc[manifest["status"] == "ok", ["path", "label", "group", "sha256"]]
    copies = manifest.loc[manifest["status"] == "duplicate", ["path", "sha256"]]

    match settings.method:
        case "official":
            listed = split_by_lists(photos, copies, str(settings.files))
            splits = drop_straddling_twins(lend_val(listed, settings.seed, settings.listed_val))
        case "kfold":
            splits = split_fold(photos, settings.seed, settings.fold, settings.folds, settings.val)
        case "stratified":
            splits = split_stratified(photos, settings.seed, settings.test, settings.val)
    check_every_class_is_in_every_split(splits, settings.method)

    with atomic_file(SPLITS) as partial:
        splits[["path", "label", "group", "split", "reason"]].to_csv(partial, index=False)
    counts = splits["split"].value_counts().reindex([*SPLIT_NAMES, "dropped"], fill_value=0)
    write_json(
        METRICS,
        {
            "method": settings.method,
            "groups": splits["group"].nunique(),
            "photos": counts.to_dict(),
            "classes": count_by_class(splits).to_dict("index"),
        },
    )
    log(f"{settings.method}: {', '.join(f'{count} {split}' for split, count in counts.items())}")


def split_stratified(photos: pd.DataFrame, seed: int, test: float, val: float) -> pd.DataFrame:
    """Hand out near-duplicate groups class by class, in an order drawn by `seed`.

    The test split gets the first `test` of each class's photos in that order,
    validation the next `val`, training the rest.

    Parameters
    ----------
    photos : DataFrame
        Columns path, label, group and sha256 of the manifest.
    seed : int
        Another seed draws another order.
    test, val : float
        Shares of each class, between 0 and 1.

    Returns
    -------
    DataFrame
        `photos` with the columns split and reason.
    """
    place = draw_places(photos, seed)
    return photos.assign(
        split=np.select([place < test, place < test + val], ["test", "val"], "train"), reason=""
    )


def split_fold(photos: pd.DataFrame, seed: int, fold: int, folds: int, val: float) -> pd.DataFrame:
    """Take one fold of cross-validation: all folds together test every photo once.

    The order is that of `split_stratified`. Fold number `fold` of it is the
    test split and the `val` of each class's photos that follow, from the
    start again after the end, are validation.

    Parameters
    ----------
    photos : DataFrame
        Columns path, label, group and sha256 of the manifest.
    seed : int
        The same for all folds of one cross-validation.
    fold : int
        From 1 to `folds`.
    folds : int
        At least 2.
    val : float
        Share of each class, between 0 and 1.

    Returns
    -------
    DataFrame
        `photos` with the columns split and reason.
    """
    place = draw_places(photos, seed)
    # Compared with the border itself, not by a difference, so that rounding tears no photo off.
    start, end = (fold - 1) / folds, fold / folds
    in_test = (place >= start) & (place < end)
    in_val = ((place >= end) & (place < end + val)) | (place < end + val - 1)
    split = np.select([in_test, in_val], ["test", "val"], "train")
    return photos.assign(split=split, reason="")


def draw_places(photos: pd.DataFrame, seed: int) -> "pd.Series[float]":
    """Draw where each photo's near-duplicate group stands in its class, between 0 and 1.

    That is the middle of the group in the class's photos in the order drawn. A
    group is known by the smallest SHA-256 among its photos: this and the seed
    alone decide its place, and that photo's label its class. So neither the
    order of the rows nor the names of the files matter. A file that is nobody's
    near-duplicate moves at most one group of its class across each border and
    none elsewhere; one that joins a group may give it another place, which
    moves as many photos across each border as the group has.
    """
    groups = (
        photos.sort_values("sha256")
        .groupby("group")
        .agg(label=("label", "first"), sha256=("sha256", "first"), photos=("path", "size"))
    )
    groups["draw"] = [
        hashlib.sha256(f"{seed} {digest}".encode()).hexdigest() for digest in groups["sha256"]
    ]
    groups = groups.sort_values("draw")
    in_class = groups.groupby("label")["photos"]
    middle = (in_class.cumsum() - groups["photos"] / 2) / in_class.transform("sum")
    return photos["group"].map(middle)


def lend_val(splits: pd.DataFrame, seed: int, share: float) -> pd.DataFrame:
    """Let validation photos train, all but the first `share` of each class in a drawn order.

    Near-duplicates in validation go together. What stays chooses the epoch and
    calibrates; the test split is as the lists have it.
    """
    place = draw_places(splits[splits["split"] == "val"], seed)
    lent = place.index[place >= share]
    return splits.assign(split=splits["split"].mask(splits.index.isin(lent), "train"))


def drop_straddling_twins(splits: pd.DataFrame) -> pd.DataFrame:
    """Leave near-duplicates on one side only: the test's before validation's before training's."""
    rank = splits["split"].map({split: rank for rank, split in enumerate(FIRST_TO_KEEP)})
    first_rank = rank.groupby(splits["group"]).transform("min")
    twins = splits[rank == first_rank].groupby("group")[["path", "split"]].first()
    straddling = rank > first_rank
    splits = splits.copy()
    for index, group in splits.loc[straddling, "group"].items():
        reason = f"Near-duplicate of {twins['path'][group]} in {twins['split'][group]}."
        splits.loc[index, ["split", "reason"]] = ["dropped", reason]
    return splits


def count_by_class(splits: pd.DataFrame) -> pd.DataFrame:
    """Return the number of photos, one row a class and one column a split."""
    counts = pd.crosstab(splits["label"], splits["split"])
    return counts.reindex(columns=[*SPLIT_NAMES, "dropped"], fill_value=0)


def check_every_class_is_in_every_split(splits: pd.DataFrame, method: str) -> None:
    """Refuse a split that cannot train, choose or judge one of the classes."""
    counts = count_by_class(splits)
    groups = splits.groupby("label")["group"].nunique()
    for label, row in counts.iterrows():
        lacking = [split for split in SPLIT_NAMES if row[split] == 0]
        if not lacking:
            continue
        advice = ["add other photos of it"]
        # Each split needs a group of its own, which no setting can make of fewer.
        if groups[label] >= len(SPLIT_NAMES):
            advice += [change for split in lacking for change in ADVICE[method][split]]
        raise PipelineError(
            f"The class {label} needs a photo in each split and has "
            f"{', '.join(f'{split} {count}' for split, count in row.items())} (groups of "
            f"near-duplicates, which stay together: {groups[label]}); "
            f"{', or '.join(dict.fromkeys(advice))}."
        )


if __name__ == "__main__":
    run_stage(main)
