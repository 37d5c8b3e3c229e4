"""Several devices in one machine train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

TRAIN = """
import sys
import keras
import numpy as np
import tensorflow as tf
from stages.train import fit
from trashnet.batches import PhotoBatches
from trashnet.devices import use_all_devices
from trashnet.params import load_params

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]),
)
tf.config.experimental.enable_op_determinism()
photos = int(sys.argv[3])
print(use_all_devices(photos % 16, "CPU"))
keras.utils.set_random_seed(1)
head = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
random = np.random.default_rng(0)
arrays = random.normal(size=(70, 2, 5)).astype(np.float32)
targets = np.eye(3, dtype=np.float32)[random.integers(3, size=70)]
rows = np.arange(70)
counts = np.linspace(0.5, 2, photos)
train = PhotoBatches(arrays, rows[:photos], targets[:photos], 16, counts, seed=1)
val = PhotoBatches(arrays, rows[50:], targets[50:], 16)
phase = fit(head, train, val, "initial", load_params())
print(len(phase.history))
np.save(sys.argv[2], np.concatenate([weights.ravel() for weights in head.get_weights()]))
"""


def train_on(devices: int, photos: int, folder: Path) -> tuple[str, np.ndarray]:
    """Train a small head in a process of its own; return what it said and the weights."""
    target = folder / f"{devices}.npy"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(devices), str(target), str(photos)],
        cwd=ROOT,
        env=os.environ | {"CI": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, np.load(target)


@pytest.mark.slow
def test_two_devices_train_what_one_does(tmp_path: Path) -> None:
    said_by_one, by_one = train_on(1, 50, tmp_path)
    said_by_two, by_two = train_on(2, 50, tmp_path)

    assert said_by_one.startswith("one CPU\n")
    assert said_by_two.startswith("2 CPUs, each with its part of every batch\n")
    np.testing.assert_allclose(by_two, by_one, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_no_device_is_left_without_a_photo_of_the_last_batch(tmp_path: Path) -> None:
    said, weights = train_on(2, 49, tmp_path)

    assert said.startswith("one CPU\n")
    assert np.isfinite(weights).all()
