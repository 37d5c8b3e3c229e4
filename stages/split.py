"""Decide which photos train, validate and test; no near-duplicate group straddles two splits."""

import hashlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from trashnet.dataset import SPLIT_NAMES, SPLITS, read_manifest
from trashnet.errors import PipelineError
from trashnet.files import atomic_file, write_json
from trashnet.params import load_params
from trashnet.stage import log, run_stage
from trashnet.storage import fetch_file, list_files

METRICS = Path("metrics/split.json")

FIRST_TO_KEEP = ("test", "val", "train")
"""Which side stays whole where near-duplicates stand on two."""

ADVICE = {
    "stratified": "raise split.test and split.val",
    "kfold": "lower split.folds or raise split.val",
    "official": "mend the lists or raise split.listed_val",
}
"""By method, what may give a class the photos that a split lacks."""


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


def split_by_lists(photos: pd.DataFrame, copies: pd.DataFrame, url: str) -> pd.DataFrame:
    """Put each photo where the authors' lists have its file name, else leave it out.

    A photo answers to the names of its byte-identical copies, too; where the
    lists put them in several splits, to the first of test, val and train.

    Parameters
    ----------
    photos : DataFrame
        Columns path, label, group and sha256 of the manifest.
    copies : DataFrame
        Columns path and sha256 of the files that `prepare` left out because a
        photo has the same bytes.
    url : str
        Folder or URL with one file each that ends in _train.txt, _val.txt and
        _test.txt.

    Returns
    -------
    DataFrame
        `photos` with the columns split and reason.

    Raises
    ------
    PipelineError
        If the lists cannot be read, name a file twice, name none of the
        dataset's or one that it has in two classes, or number the classes
        inconsistently.
    """
    lists = read_lists(url)
    files = pd.concat([photos, copies])[["path", "sha256"]]
    files["name"] = files["path"].map(lambda path: PurePosixPath(path).name)
    # Copies that share a name are one photo to the lists.
    files = files.drop_duplicates(["name", "sha256"])
    check_lists_know(files["name"], lists.index, url)
    for name in files.loc[files["name"].duplicated() & files["name"].isin(lists.index), "name"]:
        places = " and ".join(files.loc[files["name"] == name, "path"])
        raise PipelineError(
            f"The lists in {url} name {name}, which may be {places}; "
            "rename one of them or set split.method to stratified."
        )
    check_class_numbers(files["path"], files["name"].map(lists["number"]), url)
    splits = files["name"].map(lists["split"])
    in_order = files.assign(split=pd.Categorical(splits, FIRST_TO_KEEP)).sort_values("split")
    split_of = in_order.drop_duplicates("sha256").set_index("sha256")["split"]
    split = photos["sha256"].map(split_of).astype("object").fillna("dropped")
    reason = np.where(split == "dropped", "In none of the three lists.", "")
    return photos.assign(split=split, reason=reason)


def read_lists(url: str) -> pd.DataFrame:
    """Read the three lists: the columns number (of the class) and split, indexed by file name."""
    found = list_files(url, "split.files")
    rows = []
    for split in SPLIT_NAMES:
        matching = [name for name in found if name.endswith(f"_{split}.txt")]
        if len(matching) != 1:
            raise PipelineError(
                f"{url} has {len(matching)} files that end in _{split}.txt and should have one; "
                "point split.files at the folder of the authors' lists."
            )
        rows += [(*row, split) for row in read_list(f"{url.rstrip('/')}/{matching[0]}")]
    lists = pd.DataFrame(rows, columns=["name", "number", "split"])
    lists["name"] = lists["name"].str.normalize("NFC")
    repeated = lists[lists["name"].duplicated(keep=False)].sort_values("name", kind="stable")
    if not repeated.empty:
        first, second = repeated.iloc[0], repeated.iloc[1]
        raise PipelineError(
            f"The lists in {url} name {first['name']} twice (in {first['split']} and "
            f"{second['split']}); keep one of the lines."
        )
    return lists.set_index("name")


def read_list(url: str) -> list[tuple[str, str]]:
    """Read the file names and class numbers in one list."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "list.txt")
        fetch_file(url, copy, "split.files")
        try:
            lines = copy.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise PipelineError(
                f"{url} is not UTF-8 text; save it as such or point split.files elsewhere."
            ) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        match line.rsplit(maxsplit=1):
            case [name, class_number]:
                rows.append((name, class_number))
            case [_]:
                raise PipelineError(
                    f"{url}, line {number}: {line!r} should be a file name and a class number."
                )
    return rows


def lend_val(splits: pd.DataFrame, seed: int, share: float) -> pd.DataFrame:
    """Let validation photos train, all but the first `share` of each class in a drawn order.

    Near-duplicates in validation go together. What stays chooses the epoch and
    calibrates; the test split is as the lists have it.
    """
    place = draw_places(splits[splits["split"] == "val"], seed)
    lent = place.index[place >= share]
    return splits.assign(split=splits["split"].mask(splits.index.isin(lent), "train"))


def check_lists_know(names: pd.Series, listed: pd.Index, url: str) -> None:
    """Refuse lists of another dataset, and say how many of their files are no photos of this one.

    Copies that `prepare` left out count as photos here.
    """
    unknown = listed[~listed.isin(names)]
    if len(unknown) == len(listed):
        raise PipelineError(
            f"The lists in {url} name no photo of this dataset: they have "
            f"{', '.join(listed[:1]) or 'no line'}, it has {names.iloc[0]}; point split.files "
            "elsewhere or set split.method to stratified."
        )
    if len(unknown) > 0:
        log(
            f"{len(unknown)} of the {len(listed)} files in the lists are no usable photos of this "
            f"dataset, {unknown[0]} for one"
        )


def check_class_numbers(paths: pd.Series, numbers: pd.Series, url: str) -> None:
    """Refuse lists where a class number and a class folder do not belong to each other alone.

    The folder and not the label is compared: a correction changes only the label.
    """
    folders = paths.map(lambda path: PurePosixPath(path).parts[0])
    listed = pd.DataFrame({"path": paths, "number": numbers, "folder": folders}).dropna()
    kinds = listed.drop_duplicates(["number", "folder"])
    for one in ("number", "folder"):
        mixed = kinds[kinds[one].duplicated(keep=False)].sort_values(one, kind="stable")
        if not mixed.empty:
            first, second = mixed.iloc[0], mixed.iloc[1]
            raise PipelineError(
                f"The lists in {url} give {first['path']} class number {first['number']} and "
                f"{second['path']} class number {second['number']}, so they do not describe this "
                "dataset; point split.files elsewhere or set split.method to stratified."
            )


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
    for label, row in counts[(counts[list(SPLIT_NAMES)] == 0).any(axis=1)].iterrows():
        numbers = ", ".join(f"{split} {count}" for split, count in row.items())
        raise PipelineError(
            f"The class {label} needs a photo in each split and has {numbers} (groups of "
            f"near-duplicates, which stay together: {groups[label]}); add other photos of it, or "
            f"{ADVICE[method]}."
        )


if __name__ == "__main__":
    run_stage(main)
