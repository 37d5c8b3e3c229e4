"""Make the augmented views of every photo once."""

import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from trashnet.dataset import IMAGES, MANIFEST, read_manifest
from trashnet.files import atomic_file, resumable_folder
from trashnet.images import load_pixels
from trashnet.params import Augment, load_params
from trashnet.shards import (
    CarriedPhotos,
    Shard,
    Work,
    carry_photos,
    cut_shards,
    for_each_shard,
    identify,
    open_photos,
)
from trashnet.stage import log, run_stage
from trashnet.views import AUGMENTED, INDEX, iterate_views, make_view, view_generator

PHOTOS_A_SHARD = 64
CONTACT_SHEET = Path("reports/augmented-views.png")
CONTACT_SHEET_CLASSES = 8
CONTACT_SHEET_VIEWS = 5

# A class may be named in letters that Matplotlib's own font lacks: the sheet shows boxes for them.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")


def main() -> None:
    """Write data/augmented and a sheet that shows some of the views."""
    params = load_params()
    manifest = read_manifest()
    photos = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    settings = params.augment, params.data.image_size
    shards = [
        shard._replace(name=f"views-{shard.name}.npy")
        for shard in cut_shards(photos, PHOTOS_A_SHARD)
    ]

    identity = identify(__file__, PHOTOS_A_SHARD, settings, MANIFEST)
    with (
        resumable_folder(AUGMENTED, identity) as unfinished,
        ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        # Each process makes whole shards and writes them itself: nothing large passes between.
        write = partial(write_views, unfinished.folder)
        work = Work(make_views, settings)
        for_each_shard(shards, read_photos, work, write, unfinished, "augmenting", pool)
        index_of(shards).to_csv(unfinished.folder / INDEX, index=False)

    write_picture(draw_contact_sheet(photos, params.data.image_size), CONTACT_SHEET)
    log(f"{params.augment.views} views of each of {len(photos)} photos in {len(shards)} shards")


def read_photos(shard: Shard) -> tuple[list[str], CarriedPhotos]:
    """Return the hashes and the files of a shard's photos."""
    hashes = shard.photos["sha256"].tolist()
    return hashes, carry_photos(IMAGES, shard.photos["path"], hashes)


def make_views(
    settings: tuple[Augment, list[int]], of_shard: tuple[list[str], CarriedPhotos]
) -> np.ndarray:
    """Make the views of some photos: uint8, shape (photos, views, height, width, 3)."""
    augment, image_size = settings
    hashes, photos = of_shard
    views = np.empty((len(hashes), augment.views, *image_size, 3), np.uint8)
    for row, (sha256, photo) in enumerate(zip(hashes, open_photos(photos), strict=True)):
        plain = load_pixels(photo, image_size)
        for view in range(augment.views):
            random = view_generator(augment.seed, sha256, view + 1)
            views[row, view] = make_view(plain, augment, random)
    return views


def write_views(folder: Path, shard: Shard, views: np.ndarray) -> None:
    """Write the views of a shard."""
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
    wanted = set(shown)
    views = {
        path: of_photo
        for paths, of_shard in iterate_views(AUGMENTED)
        for path, of_photo in zip(paths, of_shard, strict=True)
        if path in wanted
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
