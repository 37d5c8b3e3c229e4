"""Photos for the tests of the split, and the authors' lists about them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from hypothesis import strategies as st

NO_COPIES = pd.DataFrame({"path": [], "sha256": []}, dtype="str")

WriteLists = Callable[..., str]

labels = st.sampled_from(["glass", "metal", "paper"])
groups_of_one_class = st.lists(
    st.tuples(labels, st.integers(1, 4)).map(lambda pair: [pair[0]] * pair[1]), min_size=1
)
groups_of_any_classes = st.lists(st.lists(labels, min_size=1, max_size=4), min_size=1)
shares = st.floats(0.01, 0.49)
seeds = st.integers(0, 2**32 - 1)
folds = st.integers(2, 10)


def photos_in(groups: list[list[str]]) -> pd.DataFrame:
    """Return photos from the class of each member of each near-duplicate group."""
    rows = []
    for number, members in enumerate(groups):
        paths = [f"{label}/{number}-{member}.jpg" for member, label in enumerate(members)]
        rows += [photo(path, group=min(paths)) for path in paths]
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def photo(path: str, group: str) -> dict[str, str]:
    content = hashlib.sha256(path.encode()).hexdigest()
    return {"path": path, "label": str(Path(path).parent), "group": group, "sha256": content}


def singles(photos_by_class: dict[str, int]) -> pd.DataFrame:
    """Return photos without near-duplicates."""
    return photos_in([[label] for label, count in photos_by_class.items() for _ in range(count)])
