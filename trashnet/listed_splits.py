"""The lists that a dataset's authors publish of which photos train, validate and test."""

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from trashnet.dataset import FIRST_TO_KEEP, SPLIT_NAMES
from trashnet.errors import PipelineError
from trashnet.stage import log
from trashnet.storage import fetch_file, list_files


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
