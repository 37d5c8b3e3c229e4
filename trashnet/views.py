"""Augmented views of photos: how one is made, and the folder that keeps them all."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from trashnet.params import Augment

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

    Rotation, shear, zoom and flip are one affine map about the centre, so the
    photo is resampled once after the resizing that every photo goes through.
    What the map uncovers shows the photo's mirror image: smeared edges, the
    generator's default, are streaks that no photo has.

    Parameters
    ----------
    plain : ndarray, shape (height, width, 3), uint8
        The photo as the networks see it, from `trashnet.images.load_pixels`.
    settings : Augment
        The ranges, each with ImageDataGenerator's meaning. A positive rotation
        turns the picture counter-clockwise; a zoom above 1 shows more of the
        photo, smaller; shear is in degrees, so 0.2 hardly shows.
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
    flip = settings.horizontal_flip and random.random() < 1 / 2
    darkest, brightest = settings.brightness
    brightness = random.uniform(darkest, brightest)

    rotate = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    skew = np.array([[1, -math.sin(shear)], [0, math.cos(shear)]])
    scale = np.diag([-zoom_x if flip else zoom_x, zoom_y])
    warped = warp(plain, rotate @ skew @ scale)
    # By table: an array of floats for every view is slower, by the page faults of its memory.
    levels = np.clip(np.arange(256) * brightness + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(warped).point(levels.tolist() * 3))


def warp(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map a picture about its centre, its mirror image around it.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    matrix : ndarray, shape (2, 2)
        Takes an offset (x, y) from the result's centre, in pixels, to the
        offset in `pixels` whose colour stands there.

    Returns
    -------
    ndarray
        Of the same shape and type.
    """
    if np.array_equal(matrix, np.eye(2)):
        return pixels
    height, width = pixels.shape[:2]
    # The farthest that any offset lands outside the picture.
    reach = np.abs(matrix) @ (width / 2, height / 2) - (width / 2, height / 2)
    margin_x, margin_y = np.ceil(np.maximum(reach, 0)).astype(int) + 2
    padded = np.pad(pixels, ((margin_y,) * 2, (margin_x,) * 2, (0, 0)), mode="symmetric")
    centre = np.array([width / 2, height / 2])
    offset = centre - matrix @ centre + np.array([margin_x, margin_y])
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    mapped = Image.fromarray(padded).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return np.asarray(mapped)


def iterate_views(folder: Path) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield the shards of an augmented-views folder in the manifest's order.

    Yields
    ------
    paths : list of str
        The shard's photos, as ``<class>/<file>``.
    views : memory-mapped uint8 array, shape (photos, views, height, width, 3)
        No more than what is indexed is read.
    """
    index = pd.read_csv(folder / INDEX, dtype={"path": "str"}, keep_default_na=False)
    for shard, rows in index.groupby("shard", sort=False):
        yield rows["path"].tolist(), np.load(folder / str(shard), mmap_mode="r")
