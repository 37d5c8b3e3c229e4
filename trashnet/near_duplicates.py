"""Which photos show nearly the same picture."""

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64

MOST_BANDS = 8
"""Beyond so many bands each holds so few bits that comparing every pair once is less work."""


def group_near_duplicates(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Group photos whose perceptual hashes differ in few bits.

    Two photos are in one group if a chain of photos leads from one to the
    other in which each hash differs from the next in at most `bits` bits.

    Hashes are cut into ``bits + 1`` bands: two that differ in at most `bits`
    bits agree in at least one band, so only those that do are compared
    (Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for web
    crawling"). Memory grows with the number of photos; where `bits` is so
    large that bands would not help, every pair is compared.

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
    for keys in _bands(distinct, bits):
        group = _join_within(keys, distinct, bits, group)
    _, first, inverse = np.unique(group[position], return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def _bands(hashes: np.ndarray, bits: int) -> list[np.ndarray]:
    """Return the bits of each band, or a single empty one, in which all hashes agree."""
    count = bits + 1
    if count > MOST_BANDS:
        return [np.zeros_like(hashes)]
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    return [
        (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        for low, high in pairwise(edges)
    ]


def _join_within(keys: np.ndarray, hashes: np.ndarray, bits: int, group: np.ndarray) -> np.ndarray:
    """Merge the groups of near-duplicates that have the same key."""
    order = np.argsort(keys)
    keys, hashes = keys[order], hashes[order]
    one = np.arange(len(hashes))
    for distance in range(1, len(hashes)):
        # In sorted order, what differs at this distance differs at every larger one.
        one = one[: np.searchsorted(one, len(hashes) - distance)]
        one = one[keys[one] == keys[one + distance]]
        if len(one) == 0:
            break
        near = one[np.bitwise_count(hashes[one] ^ hashes[one + distance]) <= bits]
        first, second = group[order[near]], group[order[near + distance]]
        if np.any(first != second):
            group = _join(group, first, second)
    return group


def _join(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Merge the groups numbered `one` with those numbered `other`, pair by pair."""
    count = int(group.max()) + 1
    links = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    _, merged = connected_components(links, directed=False)
    return np.asarray(merged[group])
