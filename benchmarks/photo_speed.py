"""Hold the stages that read and make photos against the work itself, and time the grouping.

Run from the repository's root, after `dvc repro`, with nothing else to do:

    python -m benchmarks.photo_speed

For prepare and augment it gives the seconds that each step of the work takes on
one core, their sum divided by the cores, and the seconds of the same work as the
stage does it, with its threads or processes; 1.0 is a stage in which all cores
work all the time. Both take turns, and the best round of each counts. The same
ratio by processor time, which other work on the machine hardly changes, says
what threads or processes cost, but not how long a core waits. `stage` is the
whole stage as `dvc repro` starts it. Last, random perceptual hashes, a tenth of
them with a near-duplicate, are grouped.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np

from benchmarks import run_benchmark
from stages.augment import PHOTOS_A_SHARD, make_views, read_photos, write_views
from stages.prepare import find_files, inspect_files
from trashnet.dataset import IMAGES, RAW, read_manifest
from trashnet.errors import PipelineError
from trashnet.images import read_image, resize
from trashnet.near_duplicates import group_near_duplicates
from trashnet.params import Augment, Params, load_params
from trashnet.shards import Shard, cut_shards
from trashnet.views import make_view, view_generator

ROUNDS = 3
HASHES = [2_527, 100_000]


class Steps:
    """Adds up the seconds of the named steps of some work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def begin(self) -> None:
        """Forget the time since the last step."""
        self._last = time.perf_counter()

    def end(self, step: str) -> None:
        """Count the time since the last step for this one."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


class Round(NamedTuple):
    """Seconds of the work on one core and as the stage does it, and of each step on one core."""

    one_core: float
    one_core_processor: float
    all_cores: float
    all_cores_processor: float
    steps: dict[str, float]


def main() -> None:
    """Print some lines a stage, and one a number of hashes."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    params = load_params()
    print(f"{len(os.sched_getaffinity(0))} cores, dataset {params.dataset}")
    paths = find_files()
    report("prepare", lambda: inspect_in_steps(paths), lambda: inspect_files(paths))
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards()
        write = partial(write_shard, Path(folder), (params.augment, params.data.image_size))
        report(
            "augment",
            lambda: augment_in_steps(shards, params, Path(folder)),
            lambda: in_processes(write, shards),
        )
    for count in HASHES:
        group(count, params.prepare.near_duplicate_bits)


def report(
    stage: str, one_core: Callable[[], dict[str, float]], all_cores: Callable[[], object]
) -> None:
    """Time the steps on one core and the stage's way on all, in turns, and print both."""
    rounds = []
    for _ in range(ROUNDS):
        began, began_processor = time.perf_counter(), processor_seconds()
        steps = one_core()
        between, between_processor = time.perf_counter(), processor_seconds()
        all_cores()
        rounds.append(
            Round(
                between - began,
                between_processor - began_processor,
                time.perf_counter() - between,
                processor_seconds() - between_processor,
                steps,
            )
        )
    best = min(rounds)
    ideal = sum(best.steps.values()) / len(os.sched_getaffinity(0))
    parallel = min(each.all_cores for each in rounds)
    by_processor = min(each.one_core_processor for each in rounds) / min(
        each.all_cores_processor for each in rounds
    )
    whole = seconds_of_stage(stage)
    print(f"{stage}: " + ", ".join(f"{step} {taken:.2f} s" for step, taken in best.steps.items()))
    print(
        f"  sum / cores {ideal:.2f} s, on all cores {parallel:.2f} s, ratio "
        f"{ideal / parallel:.2f}, by processor time {by_processor:.2f}; "
        f"stage {whole:.2f} s, ratio {ideal / whole:.2f}",
        flush=True,
    )


def inspect_in_steps(paths: list[str]) -> dict[str, float]:
    """Do on one core what prepare does to every file; return the seconds of each step."""
    steps = Steps()
    for path in paths:
        steps.begin()
        content = (RAW / path).read_bytes()
        steps.end("read")
        sha256(content).hexdigest()
        steps.end("sha256")
        try:
            photo = read_image(BytesIO(content))
        except PipelineError:
            steps.end("decode")
            continue
        steps.end("decode")
        imagehash.phash(photo)
        steps.end("perceptual hash")
    return steps.seconds


def augment_in_steps(shards: list[Shard], params: Params, folder: Path) -> dict[str, float]:
    """Do on one core what augment does to every photo; return the seconds of each step."""
    steps = Steps()
    image_size, settings = params.data.image_size, params.augment
    for shard in shards:
        steps.begin()
        views = np.empty((len(shard.photos), settings.views, *image_size, 3), np.uint8)
        for row, photo in enumerate(shard.photos.itertuples()):
            image = read_image(IMAGES / str(photo.path))
            steps.end("decode")
            plain = resize(image, image_size)
            steps.end("resize")
            for view in range(settings.views):
                random = view_generator(settings.seed, str(photo.sha256), view + 1)
                views[row, view] = make_view(plain, settings, random)
            steps.end("warp")
        np.save(folder / shard.name, views)
        steps.end("write")
    return steps.seconds


def make_shards() -> list[Shard]:
    """Return the photos in shards, as augment cuts them."""
    manifest = read_manifest()
    photos = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    shards = cut_shards(photos, PHOTOS_A_SHARD)
    return [shard._replace(name=f"{shard.name}.npy") for shard in shards]


def write_shard(folder: Path, settings: tuple[Augment, list[int]], shard: Shard) -> None:
    """Make a shard as one of the stage's processes does."""
    write_views(folder, shard, make_views(settings, read_photos(shard)))


def in_processes(write: Callable[[Shard], None], shards: list[Shard]) -> None:
    """Make the shards as the stage does."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(write, shards))


def seconds_of_stage(stage: str) -> float:
    """Run a stage in a scratch folder with this one's inputs; return the best of some runs."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("params.yaml", folder)
        (Path(folder) / "corrections").symlink_to(Path("corrections").resolve())
        (Path(folder) / "data").mkdir()
        inputs = {"prepare": [RAW], "augment": [IMAGES, IMAGES.with_name("manifest.csv")]}[stage]
        for path in inputs:
            (Path(folder) / path).symlink_to(path.resolve())
        command = [sys.executable, "-m", f"stages.{stage}"]
        environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "CI": "1"}
        return min(
            seconds_of(
                lambda: subprocess.run(
                    command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
                )
            )
            for _ in range(ROUNDS)
        )


def group(count: int, bits: int) -> None:
    """Print how long so many hashes take, and the most memory that arrays take meanwhile."""
    hashes = planted_hashes(count, bits)
    seconds = seconds_of(lambda: group_near_duplicates(hashes, bits))
    tracemalloc.start()
    group_near_duplicates(hashes, bits)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{count:,} hashes grouped in {seconds:.2f} s, at most {peak_bytes / 1e6:.1f} MB")


def planted_hashes(count: int, bits: int) -> np.ndarray:
    """Return random 64-bit hashes, the last tenth near-duplicates of the first."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    for number in range(count // 10):
        flips = random.choice(64, size=bits, replace=False)
        hashes[-1 - number] = hashes[number] ^ np.uint64(sum(1 << int(flip) for flip in flips))
    return hashes


def processor_seconds() -> float:
    """Return the processor time of this process and its workers that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def seconds_of(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    run_benchmark(main)
