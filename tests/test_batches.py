"""What training sees: every photo once an epoch, in random views, with its target and weight."""

import numpy as np
import pandas as pd
import pytest

from trashnet.batches import (
    PhotoBatches,
    first_activations,
    smallest_batch,
    train_and_val_batches,
)
from trashnet.params import load_params

CLASSES = ["glass", "paper", "trash"]


@pytest.mark.parametrize(
    ("train", "val", "expected"), [(64, 33, 1), (39, 64, 7), (64, 32, 32), (5, 8, 5)]
)
def test_smallest_batch_is_the_last_of_training_or_validation(
    train: int, val: int, expected: int
) -> None:
    splits = pd.DataFrame({"split": ["train"] * train + ["val"] * val + ["test"] * 3})

    assert smallest_batch(splits, 32) == expected


def test_an_epoch_shows_each_photo_once_whatever_the_batch_size(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    arrays, targets = separable
    arrays = np.broadcast_to(np.arange(60)[:, None, None], arrays.shape)
    for batch_size in (1, 7, 48, 100):
        batches = PhotoBatches(arrays, np.arange(48), targets[:48], batch_size, seed=3)
        for _ in range(3):
            shown = np.concatenate([batches[i][0][:, 0] for i in range(len(batches))])
            assert sorted(shown) == list(range(48))
            batches.draw_epoch()


def test_epochs_draw_other_views_and_another_order() -> None:
    photo_and_view = np.stack(np.meshgrid(np.arange(48), np.arange(3), indexing="ij"), axis=-1)
    targets = np.zeros((48, 3), np.float32)
    batches = PhotoBatches(photo_and_view, np.arange(48), targets, 48, seed=1)

    one = batches[0][0]
    batches.draw_epoch()
    other = batches[0][0]

    assert (one[:, 0] != other[:, 0]).any()
    views, other_views = (epoch[np.argsort(epoch[:, 0]), 1] for epoch in (one, other))
    assert (views != other_views).any()


def test_every_view_is_shown_in_time(separable: tuple[np.ndarray, np.ndarray]) -> None:
    arrays, targets = separable
    arrays = np.broadcast_to(np.arange(3)[None, :, None], arrays.shape)
    batches = PhotoBatches(arrays, np.arange(48), targets[:48], 48, seed=3)
    assert set(np.unique(batches[0][0])) == {0, 1, 2}


def test_validation_sees_plain_photos_in_order(separable: tuple[np.ndarray, np.ndarray]) -> None:
    arrays, targets = separable
    val = PhotoBatches(arrays, np.arange(48, 60), targets[48:], 10)
    shown = np.concatenate([val[i][0] for i in range(len(val))])
    np.testing.assert_array_equal(shown, arrays[48:60, 0])


def test_targets_and_weights_travel_with_their_photo(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    _, targets = separable
    arrays = np.broadcast_to(np.arange(60)[:, None, None], (60, 3, 8))
    weights = np.arange(48, dtype=np.float32)
    batches = PhotoBatches(arrays, np.arange(48), targets[:48], 10, weights, seed=5)
    activations, shown_targets, shown_weights = batches[2]
    np.testing.assert_array_equal(activations[:, 0], shown_weights)
    np.testing.assert_array_equal(shown_targets, targets[activations[:, 0]])


def test_mixup_blends_each_photo_with_its_neighbour_in_one_share(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    _, targets = separable
    arrays = np.broadcast_to(np.arange(60)[:, None, None], (60, 3, 8)).astype(np.float16)
    weights = np.arange(48, dtype=np.float32)
    plain = PhotoBatches(arrays, np.arange(48), targets[:48], 10, weights, seed=5)
    mixed = PhotoBatches(arrays, np.arange(48), targets[:48], 10, weights, seed=5, mixup=0.2)

    shares = []
    for batch in range(len(plain)):
        one, blend = plain[batch], mixed[batch]
        other = [np.roll(part, 1, axis=0) for part in one]
        share = np.polyfit((one[2] - other[2]), blend[2] - other[2], 1)[0]
        shares.append(share)
        for part, neighbour, of_both in zip(one, other, blend, strict=True):
            expected = share * part + (1 - share) * neighbour
            np.testing.assert_allclose(of_both, expected, atol=1e-3)

    assert len(set(np.round(shares, 6))) == len(shares)
    assert 0 < min(shares) <= max(shares) < 1


@pytest.mark.parametrize(("mixup", "mixed"), [(0.0, False), (0.2, True)])
def test_training_photos_are_mixed_where_params_say_so(
    separable: tuple[np.ndarray, np.ndarray], mixup: float, mixed: bool
) -> None:
    arrays, targets = separable
    labels = [CLASSES[target.argmax()] for target in targets]
    splits = pd.DataFrame({"label": labels, "split": ["train"] * 48 + ["val"] * 12})
    params = load_params().model_copy(update={"mixup": mixup})

    train, val = train_and_val_batches(arrays, splits, CLASSES, params)

    assert (train[0][1].max(axis=1) < 1).any() == mixed
    assert (val[0][1].max(axis=1) == 1).all()


def test_the_same_seed_draws_the_same_mixes(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    arrays, targets = separable
    batches = [
        PhotoBatches(arrays, np.arange(48), targets[:48], 10, seed=5, mixup=0.2) for _ in range(2)
    ]
    for of_both in batches:
        of_both.draw_epoch()
    np.testing.assert_array_equal(batches[0][1][0], batches[1][1][0])


def test_what_is_read_ahead_is_the_epoch_drawn_last(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    arrays, targets = separable
    batches = PhotoBatches(arrays, np.arange(48), targets[:48], 10, seed=5, mixup=0.2)
    dataset = batches.as_dataset()
    for _ in range(3):
        read = list(dataset.as_numpy_iterator())
        assert len(read) == len(dataset) == 5
        for one, other in zip(read, batches, strict=True):
            for part, expected in zip(one, other, strict=True):
                assert part.dtype == expected.dtype
                np.testing.assert_array_equal(part, expected)
        batches.draw_epoch()


def numbered(photos: int) -> np.ndarray:
    """Return activations that are the number of their photo, in three views."""
    return np.arange(photos, dtype=np.float32)[:, None, None] * np.ones((1, 3, 1), np.float32)


def test_targets_are_those_of_the_photos_shown() -> None:
    labels = np.resize(["glass", "paper", "trash", "glass"], 60)
    splits = pd.DataFrame({"label": labels, "split": np.resize(["test", "train", "val"], 60)})
    params = load_params().model_copy(update={"mixup": 0.0})

    for batches in train_and_val_batches(numbered(60), splits, CLASSES, params):
        for photos, targets, _ in batches:
            shown = [CLASSES[column] for column in targets.argmax(axis=1)]
            assert shown == labels[photos[:, 0].astype(int)].tolist()


def test_another_seed_shows_photos_in_another_order() -> None:
    splits = pd.DataFrame({"label": "glass", "split": ["train"] * 50 + ["val"] * 10})
    orders = []
    for seed in (1, 2):
        params = load_params().model_copy(update={"seed": seed, "mixup": 0.0})
        train, _ = train_and_val_batches(numbered(60), splits, ["glass"], params)
        orders.append(train[0][0].ravel().tolist())

    assert orders[0] != orders[1]


def test_shares_of_mixup_are_drawn_from_its_beta_distribution() -> None:
    targets = np.ones((4000, 1), np.float32)
    weights = np.arange(4000, dtype=np.float32)
    plain, mixed = (
        PhotoBatches(numbered(4000), np.arange(4000), targets, 2, weights, 1, mixup)
        for mixup in (0.0, 0.2)
    )

    shares = [
        (blend[2][0] - one[2][1]) / (one[2][0] - one[2][1])
        for one, blend in zip(plain, mixed, strict=True)
    ]

    # Beta(a, a) has the mean 1 / 2 and the variance 1 / (8 a + 4).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.var(shares) == pytest.approx(1 / (8 * 0.2 + 4), abs=0.02)


@pytest.mark.parametrize("batch_size", [5, 12, 40, 100])
def test_moments_are_measured_on_as_many_photos_whatever_the_batch_size(batch_size: int) -> None:
    ones = np.ones((48, 1), np.float32)
    batches = PhotoBatches(numbered(48), np.arange(48), ones, batch_size, seed=1)

    shown = first_activations(batches, photos=30)

    epoch = np.concatenate([activations for activations, _, _ in batches])
    np.testing.assert_array_equal(shown, epoch[:30])
