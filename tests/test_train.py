"""Training: class weights, batches, the two phases, early stopping, determinism."""

import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from stages.train import (
    Phase,
    beats,
    build_network,
    class_weights,
    fit,
    make_optimizer,
    schedule_learning_rate,
    smallest_batch,
    train_and_val_batches,
    write_history,
)
from trashnet.batches import PhotoBatches
from trashnet.classifier import build_head
from trashnet.errors import PipelineError
from trashnet.features import WEIGHTS, features_folder
from trashnet.moments import PHOTOS_A_BLOCK, mean_and_variance
from trashnet.params import Params, load_params

CLASSES = ["glass", "paper", "trash"]


def with_settings(**changes: object) -> Params:
    return load_params().model_copy(update=changes)


@pytest.fixture
def separable() -> tuple[np.ndarray, np.ndarray]:
    """Pooled features of 60 photos with 3 views each, and one-hot targets they give away."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    targets = np.eye(3, dtype=np.float32)[labels]
    noise = random.normal(0, 0.3, (60, 3, 8))
    return (noise + np.pad(targets, ((0, 0), (0, 5)))[:, None]).astype(np.float32), targets


def batches_of(
    separable: tuple[np.ndarray, np.ndarray], seed: int = 1
) -> tuple[PhotoBatches, PhotoBatches]:
    arrays, targets = separable
    train, val = np.arange(48), np.arange(48, 60)
    return (
        PhotoBatches(arrays, train, targets[train], 10, seed=seed),
        PhotoBatches(arrays, val, targets[val], 10),
    )


@pytest.mark.parametrize(
    ("train", "val", "expected"), [(64, 33, 1), (39, 64, 7), (64, 32, 32), (5, 8, 5)]
)
def test_smallest_batch_is_the_last_of_training_or_validation(
    train: int, val: int, expected: int
) -> None:
    splits = pd.DataFrame({"split": ["train"] * train + ["val"] * val + ["test"] * 3})

    assert smallest_batch(splits, 32) == expected


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200))
def test_alpha_one_is_scikit_learns_balanced_weighting(labels: list[str]) -> None:
    weights = class_weights(pd.Series(labels), alpha=1)
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    np.testing.assert_allclose(list(weights.values()), expected)


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200))
def test_alpha_zero_weighs_all_photos_equally(labels: list[str]) -> None:
    assert set(class_weights(pd.Series(labels), alpha=0).values()) == {1.0}


def test_half_an_alpha_goes_half_the_way() -> None:
    weights = class_weights(pd.Series(["glass"] * 3 + ["paper"]), 0.5)

    assert weights == pytest.approx({"glass": 5 / 6, "paper": 1.5})


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200), st.floats(0, 1))
def test_class_weights_keep_the_mean_weight_at_one(labels: list[str], alpha: float) -> None:
    weights = class_weights(pd.Series(labels), alpha)
    assert np.mean([weights[label] for label in labels]) == pytest.approx(1)


def test_moments_are_those_of_all_views_of_the_photos_named(
    separable: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, _ = separable
    arrays = arrays + np.float32(1000)  # far from 0 short cuts lose digits
    monkeypatch.setattr("trashnet.moments.PHOTOS_A_BLOCK", 7)
    rows = np.arange(3, 48)

    mean, variance = mean_and_variance(arrays, rows)

    exact = arrays[rows].reshape(-1, 8).astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-9)


def test_moments_take_no_memory_that_grows_with_the_photos() -> None:
    def peak_bytes(photos: int) -> int:
        arrays = np.ones((photos, 2, 256), np.float32)
        tracemalloc.start()
        mean_and_variance(arrays, np.arange(photos))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(8 * PHOTOS_A_BLOCK) < 1.1 * peak_bytes(2 * PHOTOS_A_BLOCK)


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
    arrays, _ = separable
    _, val = batches_of(separable)
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

    train, val = train_and_val_batches(arrays, splits, CLASSES, with_settings(mixup=mixup))

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


def new_head(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    examples = np.random.default_rng(0).normal(0.2, 0.5, (50, 8))
    return build_head(examples.mean(axis=0), examples.var(axis=0), [16], 0.2, 3)


def test_fit_learns_and_is_left_at_its_best_epoch(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    train, val = batches_of(separable)
    model = new_head(1)

    phase = fit(model, train, val, "initial", load_params())

    history = phase.history
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]
    assert phase.best == history["val_loss"].argmin()
    arrays, targets = separable
    accuracy = np.mean(model(arrays[48:, 0]).numpy().argmax(1) == targets[48:].argmax(1))
    assert accuracy == pytest.approx(phase.best_epoch["val_accuracy"])


def test_fit_stops_early_and_goes_back_to_the_best_weights(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    params = load_params()
    params = with_settings(
        initial=params.initial.model_copy(update={"epochs": 200, "learning_rate": 0.5})
    )
    model = new_head(1)
    train, val = batches_of(separable)

    phase = fit(model, train, val, "initial", params)

    assert len(phase.history) == phase.best + 1 + params.early_stopping.patience
    loss = model.evaluate(val.as_dataset(), verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(phase.best_epoch["val_loss"], rel=1e-5)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_training_that_diverges_is_told_with_what_to_lower(
    monitor: str, separable: tuple[np.ndarray, np.ndarray]
) -> None:
    params = load_params()
    diverging = with_settings(
        fine_tune=params.fine_tune.model_copy(update={"learning_rate": 1e38}),
        early_stopping=params.early_stopping.model_copy(update={"monitor": monitor}),
    )

    with pytest.raises(PipelineError, match=r"diverged; lower fine_tune\.learning_rate, 1e\+38"):
        fit(new_head(1), *batches_of(separable), "fine_tune", diverging)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    results = []
    for seed in (1, 1, 2):
        model = new_head(seed)
        fit(model, *batches_of(separable, seed), "initial", load_params())
        results.append(np.concatenate([weights.ravel() for weights in model.get_weights()]))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_dropout_inside_a_backbone_is_seeded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = with_settings(seed=1), with_settings(seed=2)
    monkeypatch.chdir(tmp_path)
    weights = features_folder("EfficientNetV2S") / WEIGHTS
    weights.parent.mkdir(parents=True)
    architecture = keras.applications.EfficientNetV2S
    architecture(include_top=False, weights=None, input_shape=(48, 64, 3)).save_weights(weights)
    outputs = []
    for params in (one, one, other):
        network = build_network("EfficientNetV2S", params)
        activations = np.ones((4, *network.tail.input_shape[1:]), np.float32)
        outputs.append(network.tail(activations, training=True).numpy())

    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_weights_change_the_loss_that_is_trained(
    separable: tuple[np.ndarray, np.ndarray],
) -> None:
    """With one class's photos weighing nothing, the model never says that class."""
    arrays, targets = separable
    weights = np.where(targets[:48].argmax(1) == 2, 0, 1).astype(np.float32)
    train = PhotoBatches(arrays, np.arange(48), targets[:48], 10, weights, seed=1)
    weighing = 48 + np.flatnonzero(targets[48:].argmax(1) != 2)
    val = PhotoBatches(arrays, weighing, targets[weighing], 10)
    eager = load_params().initial.model_copy(update={"epochs": 20, "learning_rate": 0.02})
    model = new_head(1)
    fit(model, train, val, "initial", with_settings(initial=eager))
    said = model(arrays[:48, 0]).numpy().argmax(1)
    assert 2 not in said


def test_cosine_schedule_climbs_for_an_epoch_and_ends_at_zero() -> None:
    phase = load_params().fine_tune.model_copy(update={"epochs": 11, "learning_rate": 0.4})

    rate = schedule_learning_rate(
        with_settings(learning_rate_schedule="cosine"), phase, steps_an_epoch=10
    )

    assert not isinstance(rate, float)
    steps = {0: 0.0, 5: 0.2, 10: 0.4, 60: 0.2, 110: 0.0}
    assert [float(rate(step)) for step in steps] == pytest.approx(list(steps.values()), abs=1e-6)


def test_constant_schedule_is_the_phases_rate() -> None:
    params = with_settings(learning_rate_schedule="constant")
    assert schedule_learning_rate(params, params.initial, 10) == params.initial.learning_rate


@pytest.mark.parametrize(("name", "decay"), [("adam", None), ("adamw", 0.25)])
def test_weight_decay_is_adamws_alone(name: str, decay: float | None) -> None:
    optimizer = make_optimizer(with_settings(optimizer=name, weight_decay=0.25), 0.1)
    assert type(optimizer).__name__.lower() == name
    assert optimizer.weight_decay == decay


@pytest.mark.parametrize(
    ("monitor", "better"), [("val_loss", 0.5), ("val_accuracy", 0.9)], ids=["loss", "accuracy"]
)
def test_fine_tuning_must_beat_the_head_alone(monitor: str, better: float) -> None:
    def phase(value: float) -> Phase:
        return Phase("initial", pd.DataFrame({monitor: [value]}), best=0)

    assert beats(phase(better), phase(0.7), monitor)
    assert not beats(phase(0.7), phase(better), monitor)
    assert not beats(phase(0.7), phase(0.7), monitor)


def test_history_numbers_epochs_through_both_phases(tmp_path: Path) -> None:
    columns = {"loss": [0.5, 0.4], "accuracy": [0.8, 0.9], "val_loss": [1, 1], "val_accuracy": 0}
    phases = [Phase(name, pd.DataFrame(columns), 0) for name in ("initial", "fine_tune")]
    write_history(tmp_path / "history.csv", phases)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["phase"].tolist() == ["initial"] * 2 + ["fine_tune"] * 2
    assert list(history.columns) == [
        "epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy",
    ]  # fmt: skip


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", "argmin"), ("val_accuracy", "argmax")])
def test_epoch_kept_is_the_best_in_what_is_monitored(
    monitor: str, best: str, separable: tuple[np.ndarray, np.ndarray]
) -> None:
    stopping = load_params().early_stopping.model_copy(update={"monitor": monitor})
    params = with_settings(early_stopping=stopping)

    phase = fit(new_head(1), *batches_of(separable), "initial", params)

    assert phase.best == getattr(phase.history[monitor], best)()
