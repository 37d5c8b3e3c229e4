"""Which photos show nearly the same picture."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

PAIRS_AT_ONCE = 2**18
"""Pairs compared in one step: few enough that their differences stay in the processor's cache."""


def group_near_duplicates(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Group photos whose perceptual hashes differ in few bits.

    Two photos are in one group if a chain of photos leads from one to the
    other in which each hash differs from the next in at most `bits` bits.
    Every pair is compared, in memory that grows with the number of photos
    and not with the number of pairs.

    Parameters
    ----------
    hashes : ndarray
        Shape (photos,), uint64: one perceptual hash a photo.
    bits : int
        Largest Hamming distance of near-duplicates, 0 to 64.

    Returns
    -------
    ndarray
        Shape (photos,), int: for each photo the position of the first photo
        of its group.
    """
    distinct, position = np.unique(hashes, return_inverse=True)
    group = np.arange(len(distinct))
    rows = max(1, PAIRS_AT_ONCE // max(1, len(distinct)))
    for start in range(0, len(distinct), rows):
        block, others = distinct[start : start + rows, None], distinct[None, start:]
        near = np.bitwise_count(block ^ others) <= bits
        one, other = group[start + np.argwhere(near).T]
        if np.any(one != other):
            group = _join(group, one, other)
    _, first, inverse = np.unique(group[position], return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def _join(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Merge the groups numbered `one` with those numbered `other`, pair by pair."""
    count = int(group.max()) + 1
    links = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    _, merged = connected_components(links, directed=False)
    return np.asarray(merged[group])
