"""Measure how each stage's time and memory grow with the number of photos.

Run from the repository's root, on a machine with nothing else to do; the first
takes some minutes on two cores and draws docs/growth.png, the second says what
memory and disk each model takes at the size of TrashNet:

    python -m benchmarks.growth
    python -m benchmarks.growth --model ResNet152V2 --image-size 192 256 --photos 100 --factors 1

Photos are drawn at random (so that none is a near-duplicate of another), 512 x
384 pixels, six classes; each phase of training runs for one epoch. Processor
seconds are those of all cores, which other work on the machine hardly changes.
Memory is what a stage and its workers have allocated at their peak (RssAnon, so
without the files that they map). Disk is what a stage has left behind.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from ruamel.yaml import YAML

from benchmarks import run_benchmark
from benchmarks.stage_times import processor_seconds_of_children
from trashnet.backbones import BACKBONES
from trashnet.files import atomic_file

CLASSES = ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
STAGES = [
    "download",
    "prepare",
    "split",
    "augment",
    "pretrained",
    "features",
    "train",
    "evaluate",
    "compare",
]
OF_A_MODEL = ["pretrained", "features", "train", "evaluate"]
POLL_SECONDS = 0.05
QUANTITIES = ["seconds", "processor seconds", "megabytes", "megabytes on disk"]
PICTURE = Path("docs/growth.png")


def main() -> None:
    """Print a table and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=150, help="at 1x")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--model", choices=BACKBONES, default="MobileNetV2")
    parser.add_argument("--image-size", type=int, nargs=2, default=[96, 128])
    options = parser.parse_args()
    rows = []
    for photos in [options.photos * factor for factor in options.factors]:
        with tempfile.TemporaryDirectory() as folder:
            lay_out(Path(folder), photos, options.model, options.image_size)
            for stage in STAGES:
                measured = measure(stage, options.model, Path(folder))
                print(f"{photos} photos: {stage} in {measured[0]:.1f} s", flush=True)
                rows.append((stage, photos, *measured))
    table = pd.DataFrame(rows, columns=["stage", "photos", *QUANTITIES])
    for quantity in QUANTITIES:
        print(quantity)
        by_photos = table.pivot_table(quantity, "stage", "photos", sort=False)
        print(by_photos.round(1).to_string())
    if len(options.factors) > 1:
        draw(table)


def lay_out(repository: Path, photos: int, model: str, image_size: list[int]) -> None:
    """Write photos and a params.yaml for them into an empty folder."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["dataset"] = "generated"
    params["datasets"]["generated"] = params["datasets"]["sample"] | {
        "url": str(repository / "photos"),
        "image_size": image_size,
    }
    params |= {"models": [model], "ensembles": {}, "export": []}
    for phase in ("initial", "fine_tune"):
        params[phase]["epochs"] = 1
    YAML(typ="safe").dump(params, repository / "params.yaml")
    for name in CLASSES:
        (repository / "photos" / name).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw_photo, repository / "photos"), range(photos), chunksize=100))


def draw_photo(folder: Path, number: int) -> None:
    """Write one photo of smooth noise, tinted by its class."""
    random = np.random.default_rng(number)
    kind = number % len(CLASSES)
    coarse = random.integers(0, 200, (9, 12, 3)) + 9 * kind
    file = BytesIO()
    Image.fromarray(coarse.astype(np.uint8)).resize((512, 384)).save(file, "JPEG")
    (folder / CLASSES[kind] / f"{number}.jpg").write_bytes(file.getvalue())


def measure(stage: str, model: str, repository: Path) -> tuple[float, float, float, float]:
    """Run a stage; return its seconds, those of all cores, and megabytes of memory and disk."""
    of_model = ["--model", model] if stage in OF_A_MODEL else []
    before = bytes_in(repository)
    began, began_processor = time.perf_counter(), processor_seconds_of_children()
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}", *of_model],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "CI": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(allocated_bytes, family(process.pid))))
        time.sleep(POLL_SECONDS)
    if process.returncode != 0:
        sys.exit(f"{stage} failed in {repository}.")
    seconds = time.perf_counter() - began
    processor_seconds = processor_seconds_of_children() - began_processor
    on_disk = bytes_in(repository) - before
    return seconds, processor_seconds, peak / 1e6, on_disk / 1e6


def bytes_in(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def family(process: int) -> list[int]:
    """Return a process and its children."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [process, *(int(child) for each in lists for child in read_or_nothing(each).split())]


def allocated_bytes(process: int) -> int:
    """Return the anonymous memory of a process."""
    lines = read_or_nothing(Path(f"/proc/{process}/status")).splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def read_or_nothing(path: Path) -> str:
    """Read a file of /proc; its process may just have ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def draw(table: pd.DataFrame) -> None:
    """Draw time and memory against photos, a line a stage."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for stage, of_stage in table.groupby("stage", sort=False):
        time_axes.plot(of_stage["photos"], of_stage["processor seconds"], "o-", label=stage)
        memory_axes.plot(of_stage["photos"], of_stage["megabytes"], "o-", label=stage)
    for axes, label in (
        (time_axes, "processor seconds"),
        (memory_axes, "megabytes allocated at the peak"),
    ):
        axes.set(xscale="log", yscale="log", xlabel="photos", ylabel=label)
        axes.set_xticks(table["photos"].unique(), table["photos"].unique())
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(*time_axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    with atomic_file(PICTURE) as partial_file:
        figure.savefig(partial_file, dpi=80)


if __name__ == "__main__":
    run_benchmark(main)
