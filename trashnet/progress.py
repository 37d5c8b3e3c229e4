"""Progress bars for people, silence for logs."""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

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
    return tqdm(items, total=total, **_style(description, unit))


def progress_bar(total: int, description: str, unit: str) -> "tqdm[Any]":
    """Return a bar like that of `progress` to move with its ``update(count)``."""
    return tqdm(total=total, **_style(description, unit))


def _style(description: str, unit: str) -> dict[str, Any]:
    quiet = True if os.environ.get("CI") else None
    return {"desc": description, "unit": f" {unit}", "disable": quiet, "dynamic_ncols": True}
