"""Train a head on the frozen backbone, then fine-tune the backbone's last layers with it."""

import hashlib
import math
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from trashnet.batch_norm import let_batch_norm_learn
from trashnet.batches import (
    PhotoBatches,
    first_activations,
    smallest_batch,
    train_and_val_batches,
)
from trashnet.classifier import (
    Classifier,
    assemble,
    build_head,
    classifier_file,
    describe_saved,
    join_tail_and_head,
    save_classifier,
)
from trashnet.dataset import SPLITS, class_names, read_splits
from trashnet.devices import use_all_devices
from trashnet.errors import PipelineError
from trashnet.fast_training import copy_for_training
from trashnet.features import (
    PHOTOS,
    POOLED,
    WEIGHTS,
    features_folder,
    open_features,
)
from trashnet.files import atomic_file, write_json
from trashnet.moments import mean_and_variance
from trashnet.networks import Network, build_backbone, cut_network
from trashnet.params import FineTune, Initial, Params, load_params
from trashnet.progress import progress_bar
from trashnet.resumable import ResumableEarlyStopping, StateFile
from trashnet.stage import log, run_model_stage

STATE = Path(".training")
"""Where fits keep their state while they run: not an output, so DVC leaves it alone."""

HISTORY_COLUMNS = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy"]


class Phase(NamedTuple):
    """What one call of `fit` did.

    Attributes
    ----------
    name : {'initial', 'fine_tune'}
    history : DataFrame
        A row an epoch: loss and val_loss in nats, accuracy and val_accuracy in
        [0, 1].
    best_row : int
        The row with the best monitored value, whose weights the model has now.
    earlier_seconds : float
        What a killed process had spent on those of its epochs that count.
    """

    name: str
    history: pd.DataFrame
    best_row: int
    earlier_seconds: float = 0.0

    @property
    def best_epoch(self) -> dict[str, float]:
        """The history's row of the best epoch."""
        return dict(self.history.iloc[self.best_row])


def main(model: str) -> None:
    """Write models/<model>.keras, its history and what training says of itself."""
    started = time.perf_counter()
    params = load_params()
    features = open_features(model)
    splits = read_splits().set_index("path").loc[features.paths].reset_index()
    classes = class_names(splits)

    tf.config.experimental.enable_op_determinism()
    log(f"{model}: trains on {use_all_devices(smallest_batch(splits, params.batch_size))}")
    network = build_network(model, params)
    # Again, so that the head's weights do not depend on what the backbone drew.
    keras.utils.set_random_seed(params.seed)
    moments = mean_and_variance(features.pooled, np.flatnonzero(splits["split"] == "train"))
    head = build_head(*moments, params.head.units, params.head.dropout, len(classes))

    batches = train_and_val_batches(features.pooled, splits, classes, params)
    phases = [fit(head, *batches, "initial", params)]
    state = state_file(model, params)
    if params.fine_tune.epochs > 0:
        batches = train_and_val_batches(features.trunk, splits, classes, params)
        phases.append(fine_tune(network.tail, head, *batches, phases[0], params, state))
    initial, last = phases[0], phases[-1]
    kept = last if beats(last, initial, params.early_stopping.monitor) else initial

    classifier = Classifier(assemble(network, head, params.mirror_images), classes)
    file = classifier_file(model)
    save_classifier(classifier, file)
    folder = Path("metrics") / model
    write_history(folder / "history.csv", phases)
    write_json(folder / "training.json", summarize(phases, kept) | describe_saved(classifier, file))
    state.path.unlink(missing_ok=True)
    seconds = time.perf_counter() - started + sum(phase.earlier_seconds for phase in phases)
    write_json(folder / "timing-train.json", {"seconds": round(seconds, 3)})
    log(
        f"{model}: {' + '.join(str(len(phase.history)) for phase in phases)} epochs of "
        f"{(splits['split'] == 'train').sum()} photos, kept {kept.name} epoch {kept.best_row + 1}, "
        f"validation accuracy {kept.best_epoch['val_accuracy']:.3f}"
    )


def build_network(model: str, params: Params) -> Network:
    """Build the backbone with the weights that made the features, and cut it."""
    # EfficientNet's own dropout layers draw their seeds when they are built.
    keras.utils.set_random_seed(params.seed)
    weights_as_used = features_folder(model) / WEIGHTS
    backbone = build_backbone(model, params.data.image_size, weights_as_used)
    return cut_network(model, backbone, params.fine_tune.layers_of(model))


def fine_tune(
    tail: keras.Model,
    head: keras.Model,
    train: PhotoBatches,
    val: PhotoBatches,
    initial: Phase,
    params: Params,
    state: StateFile,
) -> Phase:
    """Train `tail` and `head` in place; where that does not beat `initial`, it is taken back."""
    if params.fine_tune.batch_norm == "learned":
        let_batch_norm_learn(tail, first_activations(train))
    faster_tail = copy_for_training(tail, params.precision)
    end = join_tail_and_head(faster_tail, head)
    before = end.get_weights()
    phase = fit(end, train, val, "fine_tune", params, state)
    if not beats(phase, initial, params.early_stopping.monitor):
        end.set_weights(before)
    tail.set_weights(faster_tail.get_weights())
    return phase


def state_file(model: str, params: Params) -> StateFile:
    """Return where fine-tuning keeps its state, and the hash of all that it depends on."""
    versions = [keras.__version__, np.__version__, tf.__version__]
    digest = hashlib.sha256(f"{params!r} {versions}".encode())
    # More code than a fit can depend on: to train again is cheaper than to mix two versions.
    code = [Path(__file__), *sorted(Path("trashnet").glob("*.py"))]
    folder = features_folder(model)
    # The pooled features change whenever the larger trunk features do.
    for path in (*code, SPLITS, folder / PHOTOS, folder / POOLED, folder / WEIGHTS):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return StateFile(STATE / f"{model}.npz", digest.hexdigest())


def fit(
    model: keras.Model,
    train: PhotoBatches,
    val: PhotoBatches,
    phase: str,
    params: Params,
    state: StateFile | None = None,
) -> Phase:
    """Train `model` in place with early stopping and leave it at its best epoch's weights.

    Where `state` is what a killed fit left behind, only the missing epochs are run.

    Raises
    ------
    PipelineError
        If the best epoch's val_loss is not a number: the phase would quietly count for nothing.
    """
    settings = params.initial if phase == "initial" else params.fine_tune
    stopping = ResumableEarlyStopping(
        params.early_stopping.monitor, params.early_stopping.patience, state
    )
    done = settings.epochs if stopping.ended else len(stopping.history)
    for _ in range(done):
        train.draw_epoch()
    model.compile(
        make_optimizer(params, schedule_learning_rate(params, settings, steps_an_epoch=len(train))),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=params.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        # XLA runs depthwise convolutions ten times slower on a CPU.
        jit_compile=False,
    )
    # Keras would make its variables while TensorFlow traces the step, which then has to trace anew.
    model.optimizer.build(model.trainable_variables)
    epochs = progress_bar(settings.epochs, f"{phase} epochs", "epoch")
    epochs.update(done)

    def end_epoch(_: int, logs: dict[str, float]) -> None:
        train.draw_epoch()
        epochs.set_postfix(logs)
        epochs.update()

    with epochs:
        model.fit(
            train.as_dataset(),
            validation_data=val.as_dataset(),
            initial_epoch=done,
            epochs=settings.epochs,
            shuffle=False,  # PhotoBatches draws its own order
            callbacks=[stopping, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
            verbose=0,
        )
    trained = Phase(
        phase, pd.DataFrame(stopping.history), stopping.best_epoch, stopping.earlier_seconds
    )
    # Not what is monitored: accuracy stays a number where the weights do not.
    if not math.isfinite(trained.best_epoch["val_loss"]):
        raise PipelineError(
            f"val_loss is not a number in the best epoch of the phase {phase}: "
            f"training diverged; lower {phase}.learning_rate, {settings.learning_rate:g} now."
        )
    return trained


def schedule_learning_rate(
    params: Params, phase: Initial | FineTune, steps_an_epoch: int
) -> float | keras.optimizers.schedules.CosineDecay:
    """Return the phase's learning rate, or what moves it from step to step."""
    if params.learning_rate_schedule == "constant":
        return phase.learning_rate
    # Fresh weights give large gradients, so the first epoch climbs up to the rate.
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=phase.learning_rate,
        warmup_steps=steps_an_epoch,
        decay_steps=max(1, (phase.epochs - 1) * steps_an_epoch),
    )


def make_optimizer(
    params: Params, learning_rate: float | keras.optimizers.schedules.CosineDecay
) -> keras.optimizers.Optimizer:
    """Return the optimizer that `params.optimizer` names."""
    if params.optimizer == "adamw":
        return keras.optimizers.AdamW(learning_rate, weight_decay=params.weight_decay)
    return keras.optimizers.Adam(learning_rate)


def beats(phase: Phase, other: Phase, monitor: str) -> bool:
    """Say whether `phase` reached a strictly better validation value than `other`."""
    difference = float(phase.best_epoch[monitor] - other.best_epoch[monitor])
    return bool(difference > 0 if monitor == "val_accuracy" else difference < 0)


def write_history(path: Path, phases: list[Phase]) -> None:
    """Write the epochs of both phases, numbered through from 1."""
    history = pd.concat(
        [phase.history.assign(phase=phase.name) for phase in phases], ignore_index=True
    )
    history["epoch"] = history.index + 1
    with atomic_file(path) as partial:
        history.round(6).to_csv(partial, index=False, columns=HISTORY_COLUMNS)


def summarize(phases: list[Phase], kept: Phase) -> dict[str, object]:
    """Return what later stages cannot know: epochs run, the epoch kept, training accuracy there.

    Training accuracy is that of the kept epoch, measured on augmented, mixed
    views with dropout while the weights moved.
    """
    epochs = {phase.name: len(phase.history) for phase in phases}
    return {
        "epochs": {"initial": 0, "fine_tune": 0} | epochs,
        "kept": {"phase": kept.name, "epoch": kept.best_row + 1},
        "train": {"final_accuracy": round(float(kept.best_epoch["accuracy"]), 6)},
        "val": {"best_accuracy": round(float(kept.best_epoch["val_accuracy"]), 6)},
    }


if __name__ == "__main__":
    run_model_stage(main)
