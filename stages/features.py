"""Run a backbone's frozen trunk once over every photo and view."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from trashnet.dataset import IMAGES, MANIFEST, read_manifest
from trashnet.errors import PipelineError
from trashnet.features import (
    PHOTOS,
    WEIGHTS,
    FeatureWriter,
    encode,
    features_folder,
    open_features,
)
from trashnet.files import resumable_folder
from trashnet.images import load_batches
from trashnet.networks import (
    Network,
    Runner,
    build_backbone,
    compile_inference,
    cut_network,
    pack_network,
    settle_random_weights,
    unpack_network,
)
from trashnet.params import load_params
from trashnet.shards import (
    CarriedPhotos,
    Shard,
    Work,
    carry_photos,
    cluster_address,
    describe_files,
    for_each_shard,
    identify,
    open_photos,
)
from trashnet.stage import log, run_model_stage
from trashnet.views import AUGMENTED, INDEX, iterate_views, list_shards
from trashnet.weights import random_weights_seed, save_weights, weights_file

PHOTOS_TO_SETTLE_ON = 64
IMAGES_PER_RUN = 32
"""Photos and views that pass the trunk together: enough to keep its kernels busy."""


def main(model: str) -> None:
    """Write data/features/<model>: activations at the cut, pooled outputs, weights as used."""
    started = time.perf_counter()
    params = load_params()
    manifest = read_manifest()
    photos = manifest.loc[manifest["status"] == "ok", "path"].tolist()
    image_size = params.data.image_size

    backbone = build_backbone(model, image_size, weights_file(model))
    if random_weights_seed(weights_file(model)) is not None:
        settle_random_weights(model, backbone, spread_photos(photos, image_size))
    network = cut_network(model, backbone, params.fine_tune.layers_of(model))
    check_size(model, network, len(photos), params.features.max_gigabytes)
    work = trunk_work(with_pooled_output(network))

    shards = list_shards(AUGMENTED)
    identity = identify(
        __file__,
        (image_size, params.fine_tune.layers_of(model)),
        MANIFEST,
        AUGMENTED / INDEX,
        weights_file(model),
        describe_files([AUGMENTED / shard.name for shard in shards]),
    )
    with resumable_folder(features_folder(model), identity) as unfinished:
        folder = unfinished.folder
        writer = FeatureWriter(folder, len(photos))
        for_each_shard(
            shards,
            partial(read_photos_and_views, manifest.set_index("path")["sha256"]),
            work,
            lambda shard, outputs: writer.write(shard.start, *outputs),
            unfinished,
            f"features of {model}",
        )
        pd.DataFrame({"path": photos}).to_csv(folder / PHOTOS, index=False)
        save_weights_as_used(backbone, weights_file(model), folder / WEIGHTS)
    seconds = time.perf_counter() - started
    views_a_photo = open_features(model).pooled.shape[1]
    log(
        f"{model}: {len(photos)} photos in {views_a_photo} views each, the plain one included, "
        f"cut at {network.tail.input_shape[1:]}, {seconds:.0f} s"
    )


def spread_photos(photos: list[str], image_size: Sequence[int]) -> np.ndarray:
    """Return up to 64 plain photos, evenly spread over the manifest's order, which is by class."""
    step = -(-len(photos) // PHOTOS_TO_SETTLE_ON)
    paths = [IMAGES / photo for photo in photos[::step]]
    return np.concatenate(list(load_batches(paths, image_size, batch_size=len(paths))))


def check_size(model: str, network: Network, photos: int, max_gigabytes: float) -> None:
    """Refuse features that would take more of the disk than they may, before any is made.

    Raises
    ------
    PipelineError
        If ``features.max_gigabytes`` does not hold them.
    """
    _, of_shard = next(iterate_views(AUGMENTED))
    views = 1 + of_shard.shape[1]
    gigabytes = photos * views * bytes_a_view(network) / 1e9
    if gigabytes > max_gigabytes:
        raise PipelineError(
            f"the features of {model} would take {gigabytes:.3g} GB ({photos} photos in {views} "
            f"views), more than features.max_gigabytes, {max_gigabytes:g}; raise it, make fewer "
            "views (augment.views) or smaller ones (datasets.<name>.image_size), or let fewer "
            "layers learn (fine_tune.layers)."
        )


def bytes_a_view(network: Network) -> int:
    """Return what one view takes on disk: activations at the cut, and pooled outputs."""
    at_pixels = network.trunk.input is network.trunk.output
    values = int(math.prod(network.trunk.output.shape[1:]))
    return values * (1 if at_pixels else 2) + 4 * int(network.tail.output.shape[-1])


def with_pooled_output(network: Network) -> keras.Model:
    """Return pixels to activations at the cut and the frozen tail's pooled output.

    Where the cut is at the pixels themselves, only the pooled output.
    """
    pooled = keras.layers.GlobalAveragePooling2D()(network.tail(network.trunk.output))
    if network.trunk.input is network.trunk.output:
        return keras.Model(network.trunk.input, pooled)
    return keras.Model(network.trunk.input, [network.trunk.output, pooled])


def trunk_work(network: keras.Model) -> Work:
    """Return what is done to each shard: the network's run, here or where it is sent."""
    if cluster_address():
        return Work(run_on_shard, pack_network(network), unpack_network)
    return Work(run_on_shard, compile_inference(network))


def read_photos_and_views(
    sha256: "pd.Series[str]", shard: Shard
) -> tuple[CarriedPhotos, np.ndarray]:
    """Return a shard's photos, and their views mapped into memory.

    Parameters
    ----------
    sha256 : Series
        The manifest's, by path.
    shard : Shard
        From `trashnet.views.list_shards`.
    """
    views = np.load(AUGMENTED / shard.name, mmap_mode="r")
    paths = shard.photos["path"].tolist()
    return carry_photos(IMAGES, paths, sha256[paths].tolist()), np.asarray(views)


def run_on_shard(
    run: Runner, of_shard: tuple[CarriedPhotos, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return trunk and pooled outputs of a shard's photos and views as they are stored."""
    outputs = [encode(*run_on_views(run, pixels)) for pixels in photos_with_views(*of_shard)]
    trunk, pooled = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    return trunk, pooled


def photos_with_views(photos: CarriedPhotos, views: np.ndarray) -> Iterator[np.ndarray]:
    """Yield uint8 pixels, shape (photos, 1 + views, height, width, 3), some photos at a time."""
    photos_a_run = max(1, IMAGES_PER_RUN // (1 + views.shape[1]))
    # Always cut alike: TensorFlow's sums depend on how many images pass it together.
    for run, plain in enumerate(load_batches(open_photos(photos), views.shape[2:4], photos_a_run)):
        of_these = views[run * photos_a_run : (run + 1) * photos_a_run]
        yield np.concatenate([plain[:, None], of_these], axis=1)


def run_on_views(run: Runner, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run photos and views as one batch; return trunk and pooled outputs in `pixels`' order."""
    *trunk, pooled = run(pixels.reshape(-1, *pixels.shape[2:]))
    activations = trunk[0] if trunk else pixels
    leading = pixels.shape[:2]
    return activations.reshape(*leading, *activations.shape[-3:]), pooled.reshape(*leading, -1)


def save_weights_as_used(backbone: keras.Model, pretrained: Path, target: Path) -> None:
    """Keep the weights that made the features: `train` must start from these."""
    if random_weights_seed(pretrained) is None:
        shutil.copyfile(pretrained, target)
    else:
        save_weights(backbone, target)


if __name__ == "__main__":
    run_model_stage(main)
