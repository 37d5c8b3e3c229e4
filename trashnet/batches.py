"""What training sees: batches of cached activations, read from disk as they are shown."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import tensorflow as tf

from trashnet.class_weights import class_weights
from trashnet.params import Params

BATCHES_AHEAD = 2
"""How many batches are read while one is trained on."""

PHOTOS_MEASURED = 256
"""From how many training photos batch norm's moments are measured: all pass at once, so a larger
batch must not mean more memory."""


class PhotoBatches:
    """Batches of memory-mapped activations; each batch reads only its own rows.

    Parameters
    ----------
    arrays : array, shape (n, 1 + views, ...)
        Activations of photos; view 0 is the plain photo.
    rows : int array
        Which photos to show; each is shown once an epoch.
    targets : float32 array, shape (len(rows), classes)
        One-hot labels.
    batch_size : int
        Photos a batch; the last one of an epoch may be smaller.
    weights : float32 array, shape (len(rows),), optional
        What each photo counts in the loss; 1 where left out.
    seed : int, optional
        Draws for each epoch the order and one view of each photo. Where left
        out, the plain photos come in order.
    mixup : float
        Above 0, each batch is mixed with itself, shifted by one photo:
        activations, targets and weights alike, in shares drawn from
        Beta(mixup, mixup) (Zhang et al. 2018, "mixup: Beyond empirical risk
        minimization"; on activations Verma et al. 2019, "Manifold mixup").
    """

    def __init__(
        self,
        arrays: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        batch_size: int,
        weights: np.ndarray | None = None,
        seed: int | None = None,
        mixup: float = 0.0,
    ) -> None:
        self._arrays, self._rows, self._targets = arrays, rows, targets
        self._weights = np.ones(len(rows), np.float32) if weights is None else weights
        self._batch_size = batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(len(rows))
        self._views = np.zeros(len(rows), np.int64)
        self._mixup = mixup
        self._shares = np.ones(len(self))
        self.draw_epoch()

    def __len__(self) -> int:
        """Return the number of batches, the last and smaller one included."""
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the activations, targets and weights of one batch."""
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        activations = self._arrays[self._rows[chosen], self._views[chosen]]
        targets, weights = self._targets[chosen], self._weights[chosen]
        if self._mixup == 0:
            return activations, targets, weights
        share = self._shares[batch]
        return mix(activations, share), mix(targets, share), mix(weights, share)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the batches of the epoch that was drawn last."""
        return (self[batch] for batch in range(len(self)))

    def draw_epoch(self) -> None:
        """Draw the next epoch's order, views and shares."""
        if self._random is not None:
            self._order = self._random.permutation(len(self._rows))
            self._views = self._random.integers(self._arrays.shape[1], size=len(self._rows))
            if self._mixup > 0:
                self._shares = self._random.beta(self._mixup, self._mixup, size=len(self))

    def as_dataset(self) -> tf.data.Dataset:
        """Return what reads the epoch that was drawn last, some batches ahead of training.

        Keras's own way to read ahead lets TensorFlow find the number of
        batches, and that thread's end keeps every other epoch waiting for up
        to a second (TensorFlow 2.21; `python -m benchmarks.tail_speed`).
        """
        parts = self[0]
        signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in parts)
        dataset = tf.data.Dataset.from_generator(lambda: self, output_signature=signature)
        options = tf.data.Options()
        options.autotune.enabled = False
        known_length = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        return known_length.prefetch(BATCHES_AHEAD).with_options(options)


def mix(batch: np.ndarray, share: float) -> np.ndarray:
    """Return, as float32, `share` of each entry and the rest of its neighbour in the batch."""
    entries = batch.astype(np.float32)
    mixed: np.ndarray = np.float32(share) * entries
    mixed += np.float32(1 - share) * np.roll(entries, 1, axis=0)
    return mixed


def train_and_val_batches(
    arrays: np.ndarray, splits: pd.DataFrame, classes: list[str], params: Params
) -> tuple[PhotoBatches, PhotoBatches]:
    """Return weighted random views of the training photos, and the plain validation photos."""
    labels = splits["label"].to_numpy()
    targets = (labels[:, None] == np.array(classes)).astype(np.float32)
    train = np.flatnonzero(splits["split"] == "train")
    val = np.flatnonzero(splits["split"] == "val")
    train_labels = splits["label"].iloc[train]
    weights = train_labels.map(class_weights(train_labels, params.alpha)).to_numpy(np.float32)
    return (
        PhotoBatches(
            arrays, train, targets[train], params.batch_size, weights, params.seed, params.mixup
        ),
        PhotoBatches(arrays, val, targets[val], params.batch_size),
    )


def smallest_batch(splits: pd.DataFrame, batch_size: int) -> int:
    """Return the photos in the last batch of an epoch, of training or validation, which is less."""
    counts = splits["split"].value_counts()
    return min((int(counts[split]) - 1) % batch_size + 1 for split in ("train", "val"))


def first_activations(batches: PhotoBatches, photos: int = PHOTOS_MEASURED) -> np.ndarray:
    """Return the activations of an epoch's first photos, shape (at most photos, ...).

    As they are stored, float16 or uint8 pixels; with mixup, float32.
    """
    parts: list[np.ndarray] = []
    for activations, _, _ in batches:
        parts.append(activations)
        if sum(map(len, parts)) >= photos:
            break
    return np.concatenate(parts)[:photos]
