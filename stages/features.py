"""Run a backbone's frozen trunk once over every photo and view."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from trashnet.dataset import IMAGES, read_manifest
from trashnet.features import PHOTOS, WEIGHTS, FeatureWriter, features_folder
from trashnet.files import atomic_folder
from trashnet.images import load_batches
from trashnet.networks import (
    Network,
    Runner,
    build_backbone,
    compile_inference,
    cut_network,
    settle_random_weights,
)
from trashnet.params import load_params
from trashnet.progress import progress_bar
from trashnet.stage import log, run_model_stage
from trashnet.views import AUGMENTED, iterate_views
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
    run = compile_inference(model, with_pooled_output(network))

    with (
        atomic_folder(features_folder(model)) as folder,
        progress_bar(len(photos), f"features of {model}", "photo") as bar,
    ):
        writer = FeatureWriter(folder, len(photos))
        for pixels in photos_with_views(image_size):
            writer.append(*run_on_views(run, pixels))
            bar.update(len(pixels))
        pd.DataFrame({"path": photos}).to_csv(folder / PHOTOS, index=False)
        save_weights_as_used(backbone, weights_file(model), folder / WEIGHTS)
    seconds = time.perf_counter() - started
    log(
        f"{model}: {len(photos)} photos in {pixels.shape[1]} views each, the plain one included, "
        f"cut at {network.tail.input_shape[1:]}, {seconds:.0f} s"
    )


def spread_photos(photos: list[str], image_size: Sequence[int]) -> np.ndarray:
    """Return up to 64 plain photos, evenly spread over the classes."""
    step = -(-len(photos) // PHOTOS_TO_SETTLE_ON)
    paths = [IMAGES / photo for photo in photos[::step]]
    return np.concatenate(list(load_batches(paths, image_size, batch_size=len(paths))))


def with_pooled_output(network: Network) -> keras.Model:
    """Return pixels to activations at the cut and the frozen tail's pooled output.

    Where the cut is at the pixels themselves, only the pooled output.
    """
    pooled = keras.layers.GlobalAveragePooling2D()(network.tail(network.trunk.output))
    if network.trunk.input is network.trunk.output:
        return keras.Model(network.trunk.input, pooled)
    return keras.Model(network.trunk.input, [network.trunk.output, pooled])


def photos_with_views(image_size: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield uint8 pixels, shape (photos, 1 + views, height, width, 3), in the manifest's order."""
    for paths, views in iterate_views(AUGMENTED):
        photos_a_run = max(1, IMAGES_PER_RUN // (1 + views.shape[1]))
        files = [IMAGES / path for path in paths]
        for run, plain in enumerate(load_batches(files, image_size, photos_a_run)):
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
