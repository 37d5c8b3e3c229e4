"""Training: the two phases, early stopping, determinism."""

from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from stages.train import (
    Phase,
    beats,
    build_network,
    fit,
    make_optimizer,
    schedule_learning_rate,
    summarize,
    write_history,
)
from trashnet.batches import PhotoBatches
from trashnet.classifier import build_head
from trashnet.errors import PipelineError
from trashnet.features import WEIGHTS, features_folder
from trashnet.params import Params, load_params


def with_settings(**changes: object) -> Params:
    return load_params().model_copy(update=changes)


def batches_of(
    separable: tuple[np.ndarray, np.ndarray], seed: int = 1
) -> tuple[PhotoBatches, PhotoBatches]:
    arrays, targets = separable
    train, val = np.arange(48), np.arange(48, 60)
    return (
        PhotoBatches(arrays, train, targets[train], 10, seed=seed),
        PhotoBatches(arrays, val, targets[val], 10),
    )


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
    assert phase.best_row == history["val_loss"].argmin()
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

    assert len(phase.history) == phase.best_row + 1 + params.early_stopping.patience
    loss = model.evaluate(val.as_dataset(), verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(phase.best_epoch["val_loss"], rel=1e-5)


def test_the_step_is_traced_once(
    separable: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To trace the step of twenty layers takes longer than an epoch of a small dataset."""
    step = Mock(side_effect=keras.Model.train_step)
    model = new_head(1)
    monkeypatch.setattr(model, "train_step", lambda data: step(model, data))

    fit(model, *batches_of(separable), "initial", load_params())

    step.assert_called_once()


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
        return Phase("initial", pd.DataFrame({monitor: [value]}), best_row=0)

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

    assert phase.best_row == getattr(phase.history[monitor], best)()


def test_labels_are_smoothed_as_params_say(separable: tuple[np.ndarray, np.ndarray]) -> None:
    arrays, targets = separable
    model = new_head(1)

    phase = fit(model, *batches_of(separable), "initial", with_settings(label_smoothing=0.3))

    smooth = 0.7 * targets[48:] + 0.3 / 3
    losses = -(smooth * log_softmax(model(arrays[48:, 0]).numpy(), axis=1)).sum(axis=1)
    assert phase.best_epoch["val_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_summary_is_of_the_epoch_kept() -> None:
    rows = {"accuracy": [0.5, 0.75, 1.0], "val_accuracy": [0.25, 0.5, 0.375]}
    initial, fine_tune = (
        Phase(name, pd.DataFrame(rows), best_row=1) for name in ("initial", "fine_tune")
    )

    assert summarize([initial, fine_tune], kept=fine_tune) == {
        "epochs": {"initial": 3, "fine_tune": 3},
        "kept": {"phase": "fine_tune", "epoch": 2},
        "train": {"final_accuracy": 0.75},
        "val": {"best_accuracy": 0.5},
    }
