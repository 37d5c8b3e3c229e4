"""Augmented views of photos: how one is made, and the folder that keeps them all."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from trashnet.params import Augment
from trashnet.shards import Shard

AUGMENTED = Path("data/augmented")
INDEX = "index.csv"
"""Columns path, shard (file name) and row in it, in the manifest's order."""


def view_generator(seed: int, photo_sha256: str, view: int) -> np.random.Generator:
    """Return the random numbers of one view: of the seed, the photo's bytes and the view alone.

    Parameters
    ----------
    seed : int
        ``augment.seed``.
    photo_sha256 : str
        Hex digest of the photo's file, so that a renamed photo keeps its views.
    view : int
        From 1; view 0 is the plain photo.
    """
    return np.random.default_rng([seed, int(photo_sha256, 16), view])


def make_view(plain: np.ndarray, settings: Augment, random: np.random.Generator) -> np.ndarray:
    """Make one augmented view as Keras's ImageDataGenerator would with the same ranges.

    Rotation, shear, zoom, shift and flips are one affine map, so the photo is
    resampled once after the resizing that every photo goes through. What the
    map uncovers shows the photo's mirror image: smeared edges, the generator's
    default, are streaks that no photo has. The shift is along the view's
    edges, where the generator's turns with the photo. Contrast, which the
    generator lacks, is about the view's mean level.

    Parameters
    ----------
    plain : ndarray, shape (height, width, 3), uint8
        The photo as the networks see it, from `trashnet.images.load_pixels`.
    settings : Augment
        The ranges, those of ImageDataGenerator with its meaning. A positive
        rotation turns the picture counter-clockwise; a zoom above 1 shows more
        of the photo, smaller; shear is in degrees, so 0.2 hardly shows.
    random : numpy.random.Generator
        From `view_generator`.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8.
    """
    angle = math.radians(random.uniform(-settings.rotation, settings.rotation))
    shear = math.radians(random.uniform(-settings.shear, settings.shear))
    zoom_y, zoom_x = random.uniform(1 - settings.zoom, 1 + settings.zoom, size=2)
    shift = random.uniform(-settings.shift, settings.shift, size=2) * plain.shape[1::-1]
    mirror_x = -1 if settings.horizontal_flip and random.random() < 1 / 2 else 1
    mirror_y = -1 if settings.vertical_flip and random.random() < 1 / 2 else 1
    brightness = random.uniform(settings.brightness[0], settings.brightness[1])
    contrast = random.uniform(settings.contrast[0], settings.contrast[1])
    tint = random.uniform(1 - settings.color, 1 + settings.color, size=3)

    rotate = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    skew = np.array([[1, -math.sin(shear)], [0, math.cos(shear)]])
    scale = np.diag([mirror_x * zoom_x, mirror_y * zoom_y])
    warped = warp(plain, rotate @ skew @ scale, shift)
    # By table: an array of floats for every view is slower, by the page faults of its memory.
    grey = warped.mean()
    levels = ((np.arange(256) - grey) * contrast + grey) * brightness * tint[:, None]
    table = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(warped).point(table.ravel().tolist()))


def warp(pixels: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Map a picture about its centre, its mirror image around it.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    matrix : ndarray, shape (2, 2)
        Takes an offset (x, y) from the result's centre, in pixels, to the
        offset in `pixels` whose colour stands there.
    shift : ndarray, shape (2,)
        Added to that offset, (x, y) in pixels.

    Returns
    -------
    ndarray
        Of the same shape and type.
    """
    if np.array_equal(matrix, np.eye(2)) and not shift.any():
        return pixels
    height, width = pixels.shape[:2]
    # The farthest that any offset lands outside the picture.
    reach = np.abs(matrix) @ (width / 2, height / 2) + np.abs(shift) - (width / 2, height / 2)
    margin_x, margin_y = np.ceil(np.maximum(reach, 0)).astype(int) + 2
    padded = np.pad(pixels, ((margin_y,) * 2, (margin_x,) * 2, (0, 0)), mode="symmetric")
    centre = np.array([width / 2, height / 2])
    offset = centre - matrix @ centre + shift + np.array([margin_x, margin_y])
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    mapped = Image.fromarray(padded).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return np.asarray(mapped)


def list_shards(folder: Path) -> list[Shard]:
    """Return the shards of an augmented-views folder in the manifest's order, named as the files.

    A file holds a uint8 array of shape (photos, views, height, width, 3).
    """
    index = pd.read_csv(folder / INDEX, dtype={"path": "str"}, keep_default_na=False)
    starts = index.groupby("shard", sort=False)["row"].size().cumsum().shift(fill_value=0)
    return [
        Shard(str(name), int(starts[name]), rows)
        for name, rows in index.groupby("shard", sort=False)
    ]


def iterate_views(folder: Path) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield the shards of an augmented-views folder in the manifest's order.

    Yields
    ------
    paths : list of str
        The shard's photos, as ``<class>/<file>``.
    views : memory-mapped uint8 array, shape (photos, views, height, width, 3)
        No more than what is indexed is read.
    """
    for shard in list_shards(folder):
        yield shard.photos["path"].tolist(), np.load(folder / shard.name, mmap_mode="r")
