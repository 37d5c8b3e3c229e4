"""Means and variances of pooled features, read a block at a time."""

import tracemalloc

import numpy as np
import pytest

from trashnet.moments import PHOTOS_A_BLOCK, mean_and_variance


def test_moments_are_those_of_all_views_of_the_photos_named(
    separable: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, _ = separable
    arrays = arrays + np.float32(1000)  # far from 0 short cuts lose digits
    monkeypatch.setattr("trashnet.moments.PHOTOS_A_BLOCK", 7)
    rows = np.arange(3, 48)

    mean, variance = mean_and_variance(arrays, rows)

    exact = arrays[rows].reshape(-1, 8).astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-9)


def test_moments_take_no_memory_that_grows_with_the_photos() -> None:
    def peak_bytes(photos: int) -> int:
        arrays = np.ones((photos, 2, 256), np.float32)
        tracemalloc.start()
        mean_and_variance(arrays, np.arange(photos))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(8 * PHOTOS_A_BLOCK) < 1.1 * peak_bytes(2 * PHOTOS_A_BLOCK)
