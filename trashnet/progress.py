"""Progress bars for people, silence for logs."""

import os
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], description: str, unit: str, total: int | None = None
) -> "tqdm[Item]":
    """Iterate over `items` with a bar on standard error.

    The bar shows only on a terminal, and never where CI is set.

    Parameters
    ----------
    items : iterable
        What to go through.
    description : str
        What is being done, e.g. ``"hashing"``.
    unit : str
        What one item is, e.g. ``"photo"``.
    total : int, optional
        How many there are, where `items` has no length.
    """
    quiet = True if os.environ.get("CI") else None
    return tqdm(
        items, desc=description, unit=f" {unit}", total=total, disable=quiet, dynamic_ncols=True
    )
