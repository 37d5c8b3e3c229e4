"""Read every photo in full, leave out what is broken or contradictory, group near-duplicates."""

import hashlib
import json
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import imagehash
import numpy as np
import pandas as pd

from trashnet.dataset import IMAGES, MANIFEST, RAW, is_hidden
from trashnet.errors import PipelineError
from trashnet.files import atomic_file, atomic_folder, scratch_folder, write_json
from trashnet.images import NotAnImageError, UnreadableImageError, read_image
from trashnet.near_duplicates import group_near_duplicates
from trashnet.params import load_params
from trashnet.progress import progress
from trashnet.shards import (
    CarriedPhotos,
    Work,
    carry_photos,
    cut_shards,
    describe_files,
    for_each_shard,
    identify,
    open_photos,
)
from trashnet.stage import log, run_stage

INSPECTED = Path("data/inspected")
"""Beside it stand the rows of files that were read, until all are."""
FILES_A_SHARD = 32

EXCLUDE = "exclude"
"""Stands in a correction where the file is to be left out."""


def main() -> None:
    """Write data/manifest.csv, a verdict on every file, and data/images, the usable photos."""
    params = load_params()
    manifest = inspect_files(find_files())
    if params.data.corrections is not None:
        parameter = f"datasets.{params.dataset}.corrections"
        correct_labels(manifest, Path(params.data.corrections), parameter)
    leave_out_copies(manifest)
    name_groups(manifest, params.prepare.near_duplicate_bits)

    with atomic_file(MANIFEST) as partial:
        manifest.to_csv(partial, index=False)
    check_classes(manifest)
    copy_photos(manifest)
    log(describe(manifest))


def find_files() -> list[str]:
    """Return the sorted paths of all files in class folders, hidden ones and __MACOSX apart."""
    files = (path.relative_to(RAW) for path in RAW.rglob("*") if path.is_file())
    paths = sorted(
        path.as_posix()
        for path in files
        if len(path.parts) > 1 and not any(map(is_hidden, path.parts))
    )
    if not paths:
        raise PipelineError(f"{RAW} holds no files in class folders; run `dvc repro download`.")
    return paths


def inspect_files(paths: list[str]) -> pd.DataFrame:
    """Read every file in full, on all cores.

    Returns
    -------
    DataFrame
        One row a path, with the columns of `trashnet.dataset.read_manifest`.
    """
    identity = identify(__file__, FILES_A_SHARD, describe_files([RAW / path for path in paths]))
    shards = cut_shards(pd.DataFrame({"path": paths}), FILES_A_SHARD)
    # Threads are enough: reading, hashing and decoding run without the interpreter's lock.
    with (
        scratch_folder(INSPECTED, identity) as unfinished,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        tables = {shard.name: unfinished.folder / f"{shard.name}.json" for shard in shards}
        for_each_shard(
            shards,
            lambda shard: (shard.photos["path"].tolist(), carry_photos(RAW, shard.photos["path"])),
            Work(inspect_shard),
            lambda shard, rows: write_json(tables[shard.name], rows),
            unfinished,
            "reading photos",
            pool,
        )
        rows = [row for table in tables.values() for row in json.loads(table.read_text())]
    return pd.DataFrame(rows).astype({"width": "Int64", "height": "Int64"})


def inspect_shard(_: None, files: tuple[list[str], CarriedPhotos]) -> list[dict[str, Any]]:
    """Return the manifest's rows of some files."""
    paths, photos = files
    return [
        inspect_file(path, source) for path, source in zip(paths, open_photos(photos), strict=True)
    ]


def inspect_file(path: str, source: Path | BytesIO) -> dict[str, Any]:
    """Return one row of the manifest, judged by this file alone."""
    with source.open("rb") if isinstance(source, Path) else source as file:
        row = {
            "path": path,
            "label": PurePosixPath(path).parts[0],
            "status": "ok",
            "reason": "",
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            "phash": "",
            "group": "",
            "width": None,
            "height": None,
            "size_bytes": file.seek(0, os.SEEK_END),
        }
        file.seek(0)
        try:
            photo = read_image(file)
        except NotAnImageError as error:
            return row | {"status": "not an image", "reason": str(error)}
        except UnreadableImageError as error:
            return row | {"status": "unreadable", "reason": str(error)}
    size = {"width": photo.width, "height": photo.height}
    return row | size | {"phash": str(imagehash.phash(photo))}


def correct_labels(manifest: pd.DataFrame, corrections: Path, parameter: str) -> None:
    """Set the labels that a CSV with the columns file and class gives, or leave its files out."""
    try:
        with warnings.catch_warnings():
            # It says that a row has more fields than the header, of which pandas keeps the first.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                corrections,
                index_col=False,
                dtype="str",
                keep_default_na=False,
                encoding="utf-8-sig",  # as spreadsheets write it
            )
        table = table[["file", "class"]].apply(lambda names: names.str.normalize("NFC"))
    except (OSError, ValueError, KeyError, pd.errors.ParserWarning) as error:
        raise PipelineError(
            f"{corrections} could not be read as a CSV with the columns file and class "
            f"({' '.join(str(error).split())}); mend it (names with commas stand in quotes; "
            "`git add` it for experiments that run in a copy), or point "
            f"{parameter} at another file or at null."
        ) from None
    check_corrections(table, manifest, corrections)

    verdicts = table.set_index("file")["class"]
    named = manifest["path"].isin(verdicts.index)
    excluded = named & manifest["path"].map(verdicts).eq(EXCLUDE)
    relabelled = named & ~excluded
    manifest.loc[relabelled, "label"] = manifest.loc[relabelled, "path"].map(verdicts)
    manifest.loc[excluded, ["status", "reason"]] = ["excluded", f"Excluded by {corrections}."]


def check_corrections(table: pd.DataFrame, manifest: pd.DataFrame, corrections: Path) -> None:
    """Refuse corrections that name an unknown file or class, a file twice, or mean two things."""
    if EXCLUDE in table["class"].to_numpy() and EXCLUDE in manifest["label"].to_numpy():
        raise PipelineError(
            f"{corrections} says {EXCLUDE}, which leaves a file out, and a class has that name, "
            "too; give the class another one."
        )
    known_classes = {*manifest["label"], EXCLUDE}
    for file, label in zip(table["file"], table["class"], strict=True):
        if label not in known_classes:
            raise PipelineError(
                f"{corrections} gives {file} the class {label!r}; "
                f"it should be one of {', '.join(sorted(known_classes))}."
            )
    unknown = table.loc[~table["file"].isin(manifest["path"]), "file"]
    if not unknown.empty:
        raise PipelineError(
            f"{corrections} names {unknown.iloc[0]!r}, which is not in the dataset; write files "
            f"as <class>/<file>, for example {manifest['path'].iloc[0]}."
        )
    repeated = table.loc[table["file"].duplicated(), "file"]
    if not repeated.empty:
        raise PipelineError(f"{corrections} names {repeated.iloc[0]} twice; keep one of its lines.")


def leave_out_copies(manifest: pd.DataFrame) -> None:
    """Leave out all byte-identical photos with different labels, and all but one with the same."""
    photos = manifest[manifest["status"] == "ok"]
    for _, copies in photos[photos.duplicated("sha256", keep=False)].groupby("sha256"):
        if copies["label"].nunique() > 1:
            places = " and ".join(f"{copy.path} ({copy.label})" for copy in copies.itertuples())
            left_out, status = copies.index, "label conflict"
            reason = f"The same bytes stand in {places}."
        else:
            left_out, status = copies.index[1:], "duplicate"
            reason = f"The same bytes as {copies['path'].iloc[0]}."
        manifest.loc[left_out, ["status", "reason"]] = [status, reason]


def name_groups(manifest: pd.DataFrame, bits: int) -> None:
    """Name each photo's near-duplicate group after the group's first photo."""
    ok = manifest["status"] == "ok"
    paths = manifest.loc[ok, "path"].to_numpy()
    hashes = np.array([int(phash, 16) for phash in manifest.loc[ok, "phash"]], dtype=np.uint64)
    manifest.loc[ok, "group"] = paths[group_near_duplicates(hashes, bits)]


def check_classes(manifest: pd.DataFrame) -> None:
    """Refuse a dataset without photos of at least two classes, or a class that faults emptied.

    A folder without a single image is no class, and whoever excludes all of a
    class's photos wants to be rid of it.
    """
    usable = manifest["status"].eq("ok").groupby(manifest["label"]).sum()
    if usable.gt(0).sum() < 2:
        counts = ", ".join(f"{label} {count}" for label, count in usable.items())
        raise PipelineError(
            f"{RAW} has usable photos of fewer than two classes ({counts}); "
            f"add photos, or see in {MANIFEST} why files were left out."
        )
    emptied = manifest[
        manifest["status"].isin(["unreadable", "label conflict"])
        & manifest["label"].map(usable).eq(0)
    ]
    for row in emptied.itertuples():
        raise PipelineError(
            f"No photo of the class {row.label} can be used; the first is {row.path}: "
            f"{str(row.reason).rstrip('.')}. Mend them, or exclude them by a corrections file."
        )


def copy_photos(manifest: pd.DataFrame) -> None:
    """Copy the bytes of the usable photos to data/images."""
    photos = manifest.loc[manifest["status"] == "ok", "path"]
    with atomic_folder(IMAGES) as folder:
        for path in progress(photos, "copying photos", "photo"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(RAW / path, folder / path)


def describe(manifest: pd.DataFrame) -> str:
    """Say how many files have which status, and which class has lost all its photos."""
    photos = manifest[manifest["status"] == "ok"]
    others = manifest.loc[manifest["status"] != "ok", "status"].value_counts().sort_index()
    counts = [f"{len(photos)} ok in {photos['group'].nunique()} groups"]
    counts += [f"{count} {status}" for status, count in others.items()]
    lost = sorted(set(manifest["label"]) - set(photos["label"]))
    note = f"; no usable photo of {', '.join(lost)}" if lost else ""
    return f"{len(manifest)} files: {', '.join(counts)}{note}"


if __name__ == "__main__":
    run_stage(main)
