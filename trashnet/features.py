"""The folder ``data/features/<Model>``: what the frozen network said of every photo and view."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from trashnet.errors import PipelineError
from trashnet.files import atomic_file

FEATURES = Path("data/features")

TRUNK = "trunk.npy"
POOLED = "pooled.npy"
PHOTOS = "photos.csv"
WEIGHTS = "backbone.weights.h5"


@dataclass(frozen=True)
class Features:
    """Cached outputs of one backbone; row i belongs to photo ``paths[i]``.

    Attributes
    ----------
    paths : list of str
        ``<class>/<file>``, n photos in the manifest's order.
    trunk : memory-mapped array, shape (n, 1 + views, h, w, c)
        Activations at the cut, float16, or uint8 pixels where the cut is the
        input. View 0 is the plain photo.
    pooled : memory-mapped float32 array, shape (n, 1 + views, c)
        The frozen tail's output, averaged over positions.
    """

    paths: list[str]
    trunk: np.ndarray
    pooled: np.ndarray


def features_folder(model: str) -> Path:
    """Return the folder that holds a backbone's features and the weights that made them."""
    return FEATURES / model


def open_features(model: str) -> Features:
    """Map a backbone's features into memory; nothing is read until it is indexed."""
    folder = features_folder(model)
    paths = pd.read_csv(folder / PHOTOS, dtype="str", keep_default_na=False)["path"].tolist()
    trunk = np.load(folder / TRUNK, mmap_mode="r")
    pooled = np.load(folder / POOLED, mmap_mode="r")
    return Features(paths, trunk, pooled)


def encode(trunk: np.ndarray, pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs of a network as they are stored.

    Parameters
    ----------
    trunk : array, shape (photos, 1 + views, h, w, c)
        float32 activations, which become float16, or uint8 pixels.
    pooled : float32 array, shape (photos, 1 + views, c)

    Raises
    ------
    PipelineError
        If a value is not finite or too large for float16 (65,504).
    """
    _check_range(pooled, np.float32)
    if trunk.dtype == np.uint8:
        return trunk, pooled
    _check_range(trunk, np.float16)
    return trunk.astype(np.float16), pooled


class FeatureWriter:
    """Fills the two arrays of a features folder, in any order.

    Parameters
    ----------
    folder : Path
        Empty, or what a killed run has filled in part.
    photos : int
        How many there are in all.
    """

    def __init__(self, folder: Path, photos: int) -> None:
        self._folder = folder
        self._photos = photos
        self._arrays: dict[str, np.ndarray] = {}

    def write(self, start: int, trunk: np.ndarray, pooled: np.ndarray) -> None:
        """Write the outputs of the photos from row `start` on, as `encode` returns them.

        Raises
        ------
        OSError
            If the disk has no room for all photos' outputs.
        """
        rows = slice(start, start + len(trunk))
        for name, values in ((TRUNK, trunk), (POOLED, pooled)):
            self._array(name, values)[rows] = values

    def _array(self, name: str, like: np.ndarray) -> np.ndarray:
        if name not in self._arrays:
            path = self._folder / name
            if not path.exists():
                self._allocate(path, like.dtype, like.shape[1:])
            self._arrays[name] = open_memmap(path, "r+")
        return self._arrays[name]

    def _allocate(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        with atomic_file(path) as partial:
            open_memmap(partial, "w+", dtype, (self._photos, *shape))
            # Where the disk runs full under a mapped file, the system ends the process.
            with partial.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)


def _check_range(values: np.ndarray, dtype: type[np.floating]) -> None:
    largest = float(np.abs(values).max())
    if not largest <= float(np.finfo(dtype).max):
        raise PipelineError(
            f"The frozen network's activations reach {largest}, beyond what {dtype.__name__} "
            "features hold; check that datasets.<name>.pretrained holds this backbone's weights."
        )
