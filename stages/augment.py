"""Make the augmented views of every photo once."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from trashnet.dataset import IMAGES, read_manifest
from trashnet.files import atomic_file, atomic_folder
from trashnet.images import load_pixels
from trashnet.params import Augment, load_params
from trashnet.progress import progress
from trashnet.stage import log, run_stage
from trashnet.views import AUGMENTED, INDEX, iterate_views, make_view, view_generator

PHOTOS_A_SHARD = 64
CONTACT_SHEET = Path("reports/augmented-views.png")
CONTACT_SHEET_CLASSES = 8
CONTACT_SHEET_VIEWS = 5


class Shard(NamedTuple):
    """The photos of one file of views."""

    name: str
    photos: pd.DataFrame


def main() -> None:
    """Write data/augmented and a sheet that shows some of the views."""
    params = load_params()
    manifest = read_manifest()
    photos = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    shards = [
        Shard(f"views-{number:05}.npy", photos[start : start + PHOTOS_A_SHARD])
        for number, start in enumerate(range(0, len(photos), PHOTOS_A_SHARD))
    ]

    with atomic_folder(AUGMENTED) as folder:
        write = partial(
            write_shard, folder=folder, settings=params.augment, image_size=params.data.image_size
        )
        # Each process makes whole shards and writes them itself: nothing large passes between.
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            list(progress(pool.map(write, shards), "augmenting", "shard", total=len(shards)))
        index_of(shards).to_csv(folder / INDEX, index=False)

    write_picture(draw_contact_sheet(photos, params.data.image_size), CONTACT_SHEET)
    log(f"{params.augment.views} views of each of {len(photos)} photos in {len(shards)} shards")


def write_shard(shard: Shard, folder: Path, settings: Augment, image_size: list[int]) -> None:
    """Write the views of a shard's photos: uint8, shape (photos, views, height, width, 3)."""
    views = np.empty((len(shard.photos), settings.views, *image_size, 3), np.uint8)
    for row, photo in enumerate(shard.photos.itertuples()):
        plain = load_pixels(IMAGES / str(photo.path), image_size)
        for view in range(settings.views):
            random = view_generator(settings.seed, str(photo.sha256), view + 1)
            views[row, view] = make_view(plain, settings, random)
    np.save(folder / shard.name, views)


def index_of(shards: list[Shard]) -> pd.DataFrame:
    """Say for each photo in which shard and row its views stand."""
    return pd.concat(
        [
            pd.DataFrame(
                {"path": shard.photos["path"], "shard": shard.name, "row": range(len(shard.photos))}
            )
            for shard in shards
        ]
    )


def draw_contact_sheet(photos: pd.DataFrame, image_size: list[int]) -> Figure:
    """Show the first photo of each class, plain and in its views, as the networks see them."""
    shown = photos.groupby("label", sort=True)["path"].first().head(CONTACT_SHEET_CLASSES)
    views = {
        path: of_photo
        for paths, of_shard in iterate_views(AUGMENTED)
        for path, of_photo in zip(paths, of_shard, strict=True)
        if path in set(shown)
    }
    columns = 1 + min(CONTACT_SHEET_VIEWS, next(iter(views.values())).shape[0])
    height, width = image_size
    figure = Figure(figsize=(1.6 * columns, 1.6 * len(shown) * height / width + 0.3))
    axes = figure.subplots(len(shown), columns, squeeze=False)
    for row, (label, path) in zip(axes, shown.items(), strict=True):
        pictures = [load_pixels(IMAGES / path, image_size), *views[path]]
        for axis, pixels in zip(row, pictures, strict=False):
            axis.imshow(pixels)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(label, fontsize=8, parse_math=False)  # a class may be called $x$
    for column, axis in enumerate(axes[0]):
        axis.set_title(f"view {column}" if column else "plain", fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure


def write_picture(figure: Figure, target: Path) -> None:
    """Write a figure as a PNG of 256 colours: a third of the size, and git keeps every version."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    # Without k-means the many greys of the backgrounds take the colours of the waste away.
    picture = Image.open(drawn).convert("RGB").quantize(256, kmeans=1)
    with atomic_file(target) as partial_file:
        picture.save(partial_file, optimize=True)


if __name__ == "__main__":
    run_stage(main)
