"""Means and variances of features that are too large for memory."""

import numpy as np

PHOTOS_A_BLOCK = 1024
"""How many photos' pooled features are in memory at a time, in all their views."""


def mean_and_variance(arrays: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's mean and variance over some photos in all their views.

    It reads a block at a time, because the features of a million photos fit on
    a disk and not in memory.

    Parameters
    ----------
    arrays : array, shape (n, 1 + views, channels)
    rows : int array
        Which photos to read.

    Returns
    -------
    tuple of two float64 arrays, shape (channels,)
    """
    starts = range(0, len(rows), PHOTOS_A_BLOCK)
    blocks = [rows[start : start + PHOTOS_A_BLOCK] for start in starts]
    entries = len(rows) * arrays.shape[1]
    mean = sum(arrays[block].sum(axis=(0, 1), dtype=np.float64) for block in blocks) / entries
    # In two passes, because the mean of squares less the square of the mean loses digits.
    squares = sum(((arrays[block] - mean) ** 2).sum(axis=(0, 1)) for block in blocks)
    return mean, squares / entries
