"""Hold reading, hashing and augmenting photos on all cores against the same work on one.

Run from the repository's root, after `dvc repro`, with nothing else to do:

    python -m benchmarks.photo_speed

The first two lines give the seconds that the work itself takes on one core,
divided by the cores, as a share of the stage's own: 1 where all cores work all
the time. The others give the seconds in which random perceptual hashes, a
tenth of them with a near-duplicate, are grouped.
"""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from stages.augment import PHOTOS_A_SHARD, Shard, write_shard
from stages.prepare import find_files, inspect_file, inspect_files
from trashnet.dataset import read_manifest
from trashnet.near_duplicates import group_near_duplicates
from trashnet.params import load_params

HASHES = [2_527, 100_000]


def main() -> None:
    """Print a line a measurement."""
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores")
    for name, (one_core, all_cores) in {"prepare": prepare(), "augment": augment()}.items():
        print(
            f"{name}: {one_core:.1f} s on one core, {all_cores:.1f} s on all, "
            f"share of the cores' time in use {one_core / cores / all_cores:.2f}"
        )
    bits = load_params().prepare.near_duplicate_bits
    for count in HASHES:
        hashes = planted_hashes(count, bits)
        seconds = seconds_of(lambda: group_near_duplicates(hashes, bits))  # noqa: B023
        print(f"{count} hashes grouped in {seconds:.2f} s")


def prepare() -> tuple[float, float]:
    """Return the seconds of reading and hashing every photo on one core and on all."""
    paths = find_files()
    inspect_files(paths)  # so that both find the files in memory
    return (
        seconds_of(lambda: [inspect_file(path) for path in paths]),
        seconds_of(lambda: inspect_files(paths)),
    )


def augment() -> tuple[float, float]:
    """Return the seconds of making every view on one core and on all."""
    params = load_params()
    manifest = read_manifest()
    photos = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    shards = [
        Shard(f"{start}.npy", photos[start : start + PHOTOS_A_SHARD])
        for start in range(0, len(photos), PHOTOS_A_SHARD)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write = partial(
            write_shard,
            folder=Path(folder),
            settings=params.augment,
            image_size=params.data.image_size,
        )
        one_core = seconds_of(lambda: [write(shard) for shard in shards])
        return one_core, seconds_of(lambda: in_processes(write, shards))


def in_processes(write: Callable[[Shard], None], shards: list[Shard]) -> None:
    """Make the shards as the stage does."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, shards))


def planted_hashes(count: int, bits: int) -> np.ndarray:
    """Return random 64-bit hashes, the last tenth near-duplicates of the first."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    for number in range(count // 10):
        flips = random.choice(64, size=bits, replace=False)
        hashes[-1 - number] = hashes[number] ^ np.uint64(sum(1 << int(flip) for flip in flips))
    return hashes


def seconds_of(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
