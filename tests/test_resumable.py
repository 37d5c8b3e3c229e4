"""A killed fit goes on where it ended, and ends where an undisturbed one does."""

from itertools import count
from pathlib import Path

import keras
import numpy as np
import pytest

from stages.train import Phase, fit, state_file
from trashnet import resumable
from trashnet.batches import PhotoBatches
from trashnet.classifier import build_head, join_tail_and_head
from trashnet.dataset import SPLITS
from trashnet.fast_training import FusedBatchNormalization
from trashnet.features import PHOTOS, POOLED, WEIGHTS, features_folder
from trashnet.params import Params, load_params
from trashnet.resumable import ResumableEarlyStopping, StateFile


class KilledError(Exception):
    """Stands for a SIGKILL right after the state of an epoch was written."""


def kill_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ResumableEarlyStopping._write

    def write_and_die(stopping: ResumableEarlyStopping, file: StateFile) -> None:
        write(stopping, file)
        if len(stopping.history) == epochs:
            raise KilledError

    monkeypatch.setattr(ResumableEarlyStopping, "_write", write_and_die)
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_STATES", 0)


def settings(patience: int = 12) -> Params:
    """Return 12 epochs, or fewer where early stopping is less patient than that."""
    params = load_params()
    fine_tune = params.fine_tune.model_copy(update={"epochs": 12, "learning_rate": 0.02})
    stopping = params.early_stopping.model_copy(update={"patience": patience})
    return params.model_copy(update={"fine_tune": fine_tune, "early_stopping": stopping})


def train(
    params: Params, state: StateFile | None, batch_norm: bool = False
) -> tuple[Phase, list[np.ndarray]]:
    """Fit a small head with dropout on noise with a little truth in it."""
    random = np.random.default_rng(0)
    arrays = random.normal(0, 1, (60, 3, 8)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    arrays[..., :3] += targets[:, None]
    keras.utils.set_random_seed(1)
    model = build_head(arrays.mean(axis=(0, 1)), arrays.var(axis=(0, 1)), [16], 0.3, 3)
    if batch_norm:
        arrays = arrays.reshape(60, 3, 1, 1, 8)
        model = join_tail_and_head(
            keras.Sequential([keras.Input((1, 1, 8)), FusedBatchNormalization()]), model
        )
    batches = PhotoBatches(arrays, np.arange(48), targets[:48], 10, seed=1)
    val = PhotoBatches(arrays, np.arange(48, 60), targets[48:], 10)
    phase = fit(model, batches, val, "fine_tune", params, state)
    return phase, model.get_weights()


@pytest.mark.parametrize("patience", [12, 2], ids=["runs to the end", "stops early"])
@pytest.mark.parametrize("left", [0, 1, 3], ids=lambda left: f"{left} epochs left")
def test_a_resumed_fit_equals_an_undisturbed_one(
    left: int, patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings(patience)
    undisturbed, weights = train(params, None)
    assert (len(undisturbed.history) == 12) == (patience == 12)
    state = StateFile(tmp_path / "state.npz", "one")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_after(len(undisturbed.history) - left, patch)
        train(params, state)

    resumed, resumed_weights = train(params, state)

    assert resumed.history.equals(undisturbed.history)
    assert resumed.best_row == undisturbed.best_row
    for one, other in zip(resumed_weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_norm_that_learns_is_resumed_with_its_moving_averages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, weights = train(settings(), None, batch_norm=True)
    state = StateFile(tmp_path / "state.npz", "one")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_after(5, patch)
        train(settings(), state, batch_norm=True)

    resumed, resumed_weights = train(settings(), state, batch_norm=True)

    assert resumed.history.equals(undisturbed.history)
    for one, other in zip(resumed_weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_kill_costs_at_most_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFile(tmp_path / "state.npz", "one")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_after(5, patch)
        train(settings(), state)
    begun = []
    monkeypatch.setattr(
        ResumableEarlyStopping, "on_epoch_begin", lambda _, epoch, logs=None: begun.append(epoch)
    )

    train(settings(), state)

    assert begun == list(range(5, 12))


def test_a_resumed_fit_counts_the_seconds_of_the_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFile(tmp_path / "state.npz", "one")
    begun: list[int] = []
    monkeypatch.setattr(
        ResumableEarlyStopping, "on_epoch_begin", lambda _, epoch, logs=None: begun.append(epoch)
    )
    monkeypatch.setattr(resumable, "monotonic", lambda: 10.0 * len(begun))
    for epochs in (3, 5):
        with monkeypatch.context() as patch, pytest.raises(KilledError):
            kill_after(epochs, patch)
            train(settings(), state)

    phase, _ = train(settings(), state)

    assert phase.earlier_seconds == 50


def test_a_state_is_written_once_the_last_is_old_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(
        ResumableEarlyStopping, "_write", lambda stopping, _: written.append(len(stopping.history))
    )
    seconds = count(step=4)
    monkeypatch.setattr(resumable, "monotonic", lambda: next(seconds))

    train(settings(), StateFile(tmp_path / "state.npz", "one"))

    # The clock moves on by 4 s after each epoch, and after a state once more.
    assert written == [3, 6, 9, 12]


def test_the_state_of_another_fit_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.npz"
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_after(4, patch)
        train(settings(2), StateFile(path, "one"))

    phase, _ = train(settings(), StateFile(path, "other"))

    undisturbed, _ = train(settings(), None)
    assert phase.history.equals(undisturbed.history)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_state_that_a_power_failure_cut_short_is_not_used(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFile(tmp_path / "state.npz", "one")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_after(4, patch)
        train(settings(2), state)
    content = state.path.read_bytes()
    state.path.write_bytes(content[: int(share * len(content))])

    phase, _ = train(settings(2), state)

    undisturbed, _ = train(settings(2), None)
    assert phase.history.equals(undisturbed.history)


def test_a_fit_is_another_once_its_code_data_or_params_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, other_params = settings(), settings(3)
    monkeypatch.chdir(tmp_path)
    folder = features_folder("MobileNet")
    read = [SPLITS, folder / PHOTOS, folder / POOLED, folder / WEIGHTS, Path("trashnet/moments.py")]
    for path in read:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before", encoding="utf-8")
    identities = {state_file("MobileNet", each).identity for each in (params, other_params)}

    for path in read:
        path.write_text("after", encoding="utf-8")
        identities.add(state_file("MobileNet", params).identity)

    assert len(identities) == 2 + len(read)


def test_a_fit_is_another_by_another_version_of_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings()
    monkeypatch.chdir(tmp_path)
    folder = features_folder("MobileNet")
    for path in (SPLITS, folder / PHOTOS, folder / POOLED, folder / WEIGHTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    before = state_file("MobileNet", params).identity

    monkeypatch.setattr(keras, "__version__", "another")

    assert state_file("MobileNet", params).identity != before


def test_a_state_of_zeros_is_not_used(tmp_path: Path) -> None:
    """Some file systems leave them after a power failure."""
    (tmp_path / "state.npz").write_bytes(bytes(5000))

    stopping = ResumableEarlyStopping("val_loss", 2, StateFile(tmp_path / "state.npz", "one"))

    assert stopping.history == []
