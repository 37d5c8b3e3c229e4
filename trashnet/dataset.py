"""The tables that say which photos there are, what they show and where they belong."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

RAW = Path("data/raw")
IMAGES = Path("data/images")
MANIFEST = Path("data/manifest.csv")
SPLITS = Path("data/splits.csv")

SPLIT_NAMES = ("train", "val", "test")
FIRST_TO_KEEP = ("test", "val", "train")
"""Which split keeps a photo that stands in two, or whose near-duplicate stands in another."""


def is_hidden(name: str) -> bool:
    """Say whether a file or folder of this name is litter of a system and no part of a dataset."""
    return name.startswith(".") or name == "__MACOSX"


def hash_content(sha256_by_path: Mapping[str, str]) -> str:
    """Hash what a dataset holds, apart from how it was packed: its ``content_sha256``.

    Parameters
    ----------
    sha256_by_path : mapping
        From ``<class>/<file>`` to the SHA-256 of the file's bytes, 64 hex digits.

    Returns
    -------
    str
        64 hex digits: the SHA-256 of one line ``<sha256 of the file>  <path>``
        a file, sorted by path, which is what ``sha256sum`` prints.
    """
    lines = [f"{sha256_by_path[path]}  {path}\n" for path in sorted(sha256_by_path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_manifest() -> pd.DataFrame:
    """Read what `prepare` found, one row a file, sorted by path.

    Returns
    -------
    DataFrame
        All columns are strings but the last three, which are integers.

        path : ``<class>/<file>``, POSIX, the same below `RAW` and `IMAGES`
        label : the class; the folder's name unless a correction changed it
        status : ``ok``, or why it was left out: ``not an image`` (neither
            JPEG nor PNG), ``unreadable`` (broken, cut short or too large),
            ``excluded`` (by a correction), ``label conflict`` (the same bytes
            have two labels), ``duplicate`` (of an earlier file's bytes)
        reason : a sentence for those that are not ok, else empty
        sha256 : of the file's bytes, 64 hex digits
        phash : 64-bit perceptual hash, 16 hex digits; empty if unreadable
        group : path of the first photo of its near-duplicate group; empty
            for those that are not ok
        width, height : pixels, after EXIF rotation; missing if unreadable
        size_bytes : of the file
    """
    text = ["path", "label", "status", "reason", "sha256", "phash", "group"]
    integers = dict.fromkeys(["width", "height", "size_bytes"], "Int64")
    return pd.read_csv(
        MANIFEST,
        dtype=dict.fromkeys(text, "str") | integers,
        keep_default_na=False,
        na_values={column: [""] for column in integers},
    )


def read_splits() -> pd.DataFrame:
    """Read where each photo with status ``ok`` belongs, one row each, sorted by path.

    Returns
    -------
    DataFrame
        Strings: path, label, group (as in the manifest), split (``train``,
        ``val``, ``test`` or ``dropped``) and reason (a sentence for those
        dropped, else empty).
    """
    return pd.read_csv(SPLITS, dtype="str", keep_default_na=False)


def class_names(splits: pd.DataFrame) -> list[str]:
    """Return the class of each logit: the labels in alphabetical order."""
    return sorted(splits["label"].unique())
