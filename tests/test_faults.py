"""What machines do to a running pipeline: full and read-only disks, little memory, odd clocks."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest
from params_work import write_params

from trashnet.weights import save_weights

ROOT = Path(__file__).parents[1]
TRASHNET = ROOT.parent / "shared/trashnet/dataset-resized.zip"
MEMORY_BYTES = 600_000_000

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="NO FULL DISK: only root may mount one")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a folder with params.yaml and no data."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def run(stage: str, folder: Path, memory_bytes: int | None = None) -> tuple[int, str]:
    """Run a stage as DVC does, and return its exit status and what it said of errors."""

    def limit() -> None:
        if memory_bytes is not None:
            # What a process allocates; the files that it maps and the libraries do not count.
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))

    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=limit,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr.splitlines()[-1] if done.returncode else ""


@pytest.fixture
def small_disk(repository: Path) -> Iterator[Path]:
    """Give data/ a disk of one megabyte."""
    data = repository / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", data], check=True)
    yield data
    subprocess.run(["umount", data], check=True)


@needs_mount
def test_full_disk_is_a_sentence_and_leaves_nothing(repository: Path, small_disk: Path) -> None:
    status, said = run("download", repository)

    assert status == 1
    assert said.startswith("download: No space left on device (data/")
    assert said.endswith("); mend that and run the same command again.")
    assert list(small_disk.iterdir()) == []


FILL_FEATURES = """
from pathlib import Path
import numpy as np
from trashnet.features import FeatureWriter
from trashnet.stage import run_stage
photos = np.ones((1000, 1, 4, 4, 64), np.float32)
run_stage(lambda: FeatureWriter(Path("data"), 1000).write(0, photos, photos[:, :, 0, 0]))
"""


@needs_mount
def test_features_on_a_full_disk_end_in_a_sentence_and_no_crash(
    repository: Path, small_disk: Path
) -> None:
    """The arrays are files mapped into memory: where one cannot grow, the system kills."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_FEATURES],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert list(small_disk.iterdir()) == []  # else the next run takes what stands there for whole


@needs_mount
def test_weights_on_a_full_disk_are_not_begun(small_disk: Path) -> None:
    """HDF5 ends the process by a crash where it cannot write all of a file."""
    backbone = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1000)])

    with pytest.raises(OSError, match="No space left on device"):
        save_weights(backbone, small_disk / "Net.weights.h5")

    assert list(small_disk.iterdir()) == []


@pytest.mark.slow
@needs_mount
def test_stage_goes_on_once_the_disk_has_room(repository: Path, small_disk: Path) -> None:
    run("download", repository)
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)

    assert run("download", repository) == (0, "")


@pytest.mark.slow
@needs_mount
def test_read_only_folder_is_a_sentence(repository: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    status, said = run("download", repository)

    assert status == 1
    assert said.startswith("download: Read-only file system (data/")


def use_trashnet(repository: Path) -> None:
    write_params({"dataset": "trashnet", "datasets.trashnet.url": str(TRASHNET)}, repository)


@pytest.mark.slow
@pytest.mark.parametrize(
    "dataset",
    [
        "sample",
        pytest.param(
            "trashnet",
            marks=pytest.mark.skipif(
                not TRASHNET.exists(), reason="NO REAL DATA: ../shared is not there"
            ),
        ),
    ],
)
def test_photos_are_prepared_and_augmented_in_600_megabytes(dataset: str, repository: Path) -> None:
    if dataset == "trashnet":
        use_trashnet(repository)
    assert run("download", repository) == (0, "")

    for stage in ("prepare", "augment"):
        assert run(stage, repository, MEMORY_BYTES) == (0, "")
