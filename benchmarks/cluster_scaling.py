"""Simulate how long features of many photos take on 1 to 64 nodes, from shard times measured here.

Run from the repository's root after `dvc repro augment pretrained@MobileNetV2`, on a machine with
nothing else to do:

    python -m benchmarks.cluster_scaling MobileNetV2

It measures on one core how long a process needs to load the trunk and then
for each of some shards, and how many bytes go there and come back. The
simulated driver sends shards in order over its one link, each core has its
next shard sent while it works on one, and results come back over the link's
other direction. Stages other than features, Ray's own messages and the
driver's disk are left out.
"""

import argparse
import heapq
import os
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

from benchmarks import run_benchmark
from stages.features import read_photos_and_views, run_on_shard, with_pooled_output
from trashnet.dataset import IMAGES, read_manifest
from trashnet.errors import PipelineError
from trashnet.networks import build_backbone, cut_network, pack_network, unpack_network
from trashnet.params import load_params
from trashnet.views import AUGMENTED, list_shards
from trashnet.weights import weights_file

NODES = [1, 2, 4, 8, 16, 32, 64]
SHARDS = 8


class Measured(NamedTuple):
    """What one core does.

    Attributes
    ----------
    start_seconds : float
        Until a new process has loaded the trunk.
    shard_seconds : list of float
        One a shard.
    photos_a_shard : int
    sent_bytes, returned_bytes : int
        A shard.
    """

    start_seconds: float
    shard_seconds: list[float]
    photos_a_shard: int
    sent_bytes: int
    returned_bytes: int


def main() -> None:
    """Print what was measured and a line a number of nodes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--photos", type=int, default=10_000_000)
    parser.add_argument("--cores", type=int, default=8, help="of each node")
    parser.add_argument("--gigabits", type=float, default=10.0, help="a second, of the driver")
    parser.add_argument("--boot-seconds", type=float, default=120.0, help="until a node is there")
    options = parser.parse_args()
    measured = measure(options.model)
    print(
        f"{options.model}, one core: {measured.start_seconds:.1f} s to start, "
        f"{np.mean(measured.shard_seconds):.2f} s a shard of {measured.photos_a_shard} photos "
        f"({min(measured.shard_seconds):.2f} to {max(measured.shard_seconds):.2f}), "
        f"{measured.sent_bytes / 1e6:.1f} MB there, {measured.returned_bytes / 1e6:.1f} MB back"
    )
    shards = -(-options.photos // measured.photos_a_shard)
    back, there = shards * measured.returned_bytes, shards * measured.sent_bytes
    print(
        f"{options.photos} photos: {shards} shards, {there / 1e12:.2f} TB there, "
        f"{back / 1e12:.2f} TB back; {shards * np.mean(measured.shard_seconds) / 3600:.1f} core "
        f"hours; the slower direction of the link alone "
        f"{max(there, back) / link_bytes(options.gigabits) / 3600:.2f} h"
    )
    print(f"nodes of {options.cores} cores, {options.gigabits:g} Gbit/s, hours, share of ideal")
    one_core = simulate(measured, shards, 1, np.inf, 0)
    for nodes in NODES:
        cores = nodes * options.cores
        speed = link_bytes(options.gigabits)
        seconds = simulate(measured, shards, cores, speed, options.boot_seconds)
        print(f"{nodes:5} {seconds / 3600:10.2f} {one_core / cores / seconds:10.2f}")


def link_bytes(gigabits: float) -> float:
    """Return bytes a second."""
    return gigabits * 1e9 / 8


def measure(model: str) -> Measured:
    """Run some shards on one core, as a process of the cluster does."""
    params = load_params()
    backbone = build_backbone(model, params.data.image_size, weights_file(model))
    network = with_pooled_output(cut_network(model, backbone, params.fine_tune.layers_of(model)))
    packed = pack_network(network)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import stages.features"], check=True)
    run = unpack_network(packed)
    start = time.perf_counter() - began

    shards = list_shards(AUGMENTED)[:-1][:SHARDS]  # the last one is smaller
    if not shards:
        raise PipelineError("This needs a full shard, so more than 64 photos; run it on more.")
    sha256 = read_manifest().set_index("path")["sha256"]
    seconds = []
    for shard in shards:
        photos, views = read_photos_and_views(sha256, shard)
        views = views.copy()  # off the disk
        began = time.perf_counter()
        outputs = run_on_shard(run, (photos, views))
        seconds.append(time.perf_counter() - began)
    files = [IMAGES / path for path in shards[-1].photos["path"]]
    sent = views.nbytes + sum(file.stat().st_size for file in files)
    returned = sum(array.nbytes for array in outputs)
    return Measured(start, seconds, len(files), sent, returned)


def simulate(
    measured: Measured, shards: int, cores: int, link: float, boot_seconds: float
) -> float:
    """Return the seconds until the last result is back.

    Parameters
    ----------
    measured : Measured
        Shards take its times in turn.
    shards, cores : int
    link : float
        Bytes a second that the driver can send, and as many that it can receive.
    boot_seconds : float
        Until every node is there.
    """
    ready = boot_seconds + measured.start_seconds
    # Each core: when it is free, and when it asked for its next shard.
    free = [(ready, boot_seconds)] * cores
    sent = 0.0
    ends = []
    for shard in range(shards):
        idle, asked = heapq.heappop(free)
        sent = max(sent, asked) + measured.sent_bytes / link
        start = max(idle, sent)
        end = start + measured.shard_seconds[shard % len(measured.shard_seconds)]
        ends.append(end)
        heapq.heappush(free, (end, start))
    received = 0.0
    for end in sorted(ends):
        received = max(received, end) + measured.returned_bytes / link
    return received


if __name__ == "__main__":
    run_benchmark(main)
