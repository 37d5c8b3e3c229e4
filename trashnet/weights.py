"""Where backbone weights stand, and what stands there for `pretrained: none`."""

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from trashnet.errors import PipelineError
from trashnet.files import atomic_file

if TYPE_CHECKING:
    import keras

PRETRAINED = Path("data/pretrained")
RANDOM_WEIGHTS_SEED = 20161208
"""Seed of the weights drawn for `pretrained: none`; apart from every training seed."""


def weights_file(model: str) -> Path:
    """Return where `pretrained` keeps the weights of a backbone."""
    return PRETRAINED / f"{model}.weights.h5"


def write_random_weights_note(path: Path) -> None:
    """Write a weights file that holds no layer, only the seed to draw them all from.

    Half a gigabyte of noise for seven backbones would be written, hashed and
    read for nothing: the seed stands for it.
    """
    with atomic_file(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["random_weights_seed"] = RANDOM_WEIGHTS_SEED


def save_weights(backbone: "keras.Model", path: Path) -> None:
    """Write a ``.weights.h5`` file.

    Raises
    ------
    OSError
        If the disk has no room for it: HDF5 finds that out by a crash.
    """
    needed_bytes = 1.1 * sum(weight.nbytes for weight in backbone.get_weights())
    if shutil.disk_usage(path.parent).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    backbone.save_weights(path)


def random_weights_seed(path: Path) -> int | None:
    """Return the seed that a weights file stands for, or None if it holds real weights.

    Raises
    ------
    PipelineError
        If the file is missing, is not HDF5, or is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            seed = file.attrs.get("random_weights_seed")
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run `dvc repro`.") from None
    except (OSError, RuntimeError, KeyError, ValueError):  # h5py's, by what is broken
        raise PipelineError(
            f"{path} is not an HDF5 weights file, or is damaged; point "
            "datasets.<name>.pretrained at a folder or URL with Keras's <Model>.weights.h5 files."
        ) from None
    return None if seed is None else int(seed)
