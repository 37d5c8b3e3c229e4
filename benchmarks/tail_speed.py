"""Hold fine-tuning against the tail's own arithmetic, as built and as it is trained.

Run from the repository's root, after `dvc repro`, with nothing else to do:

    python -m benchmarks.tail_speed MobileNet MobileNetV2

Each line gives the photos a second of Keras's `fit` on the cached features, of
forward, backward and update alone on batches that are in memory, and their
ratio; both take turns in one process. `as built` is the backbone's own layers,
the other two what training makes of them in each precision.
"""

import argparse
import os
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks import run_benchmark
from stages.train import build_network, make_optimizer
from trashnet.batch_norm import let_batch_norm_learn
from trashnet.batches import PhotoBatches, first_activations, train_and_val_batches
from trashnet.classifier import build_head, join_tail_and_head
from trashnet.dataset import class_names, read_splits
from trashnet.fast_training import copy_for_training
from trashnet.features import open_features
from trashnet.moments import mean_and_variance
from trashnet.params import Params, load_params

EPOCHS = 3
AS_BUILT = "as built"


def main() -> None:
    """Print one line a backbone and precision."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    models = parser.parse_args().models
    tf.config.experimental.enable_op_determinism()
    params = load_params()
    print(f"{len(os.sched_getaffinity(0))} cores, batches of {params.batch_size}")
    for model in models:
        for precision in (AS_BUILT, "float32", "bfloat16"):
            compare(model, precision, params)


def compare(model: str, precision: str, params: Params) -> None:
    """Time epochs of `fit` and of the bare steps in turns."""
    end, batches = build(model, precision, params)
    runs = {"fit": keras_fit(end, batches), "steps": bare_steps(end, batches)}
    for run in runs.values():
        run()  # traces
    seconds = dict.fromkeys(runs, 0.0)
    for _ in range(EPOCHS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name] += time.perf_counter() - started

    photos = EPOCHS * sum(len(batches[number][0]) for number in range(len(batches)))
    print(
        f"{model:18} {precision:8}  fit {photos / seconds['fit']:6.0f} photos/s   "
        f"bare steps {photos / seconds['steps']:6.0f} photos/s   "
        f"ratio {seconds['steps'] / seconds['fit']:.2f}",
        flush=True,
    )


def build(model: str, precision: str, params: Params) -> tuple[keras.Model, PhotoBatches]:
    """Return what fine-tuning trains, and the batches that it trains on."""
    features = open_features(model)
    splits = read_splits().set_index("path").loc[features.paths].reset_index()
    classes = class_names(splits)
    tail = build_network(model, params).tail
    batches, _ = train_and_val_batches(features.trunk, splits, classes, params)
    if params.fine_tune.batch_norm == "learned":
        let_batch_norm_learn(tail, first_activations(batches))
    if precision != AS_BUILT:
        tail = copy_for_training(tail, precision)
    moments = mean_and_variance(features.pooled, np.flatnonzero(splits["split"] == "train"))
    head = build_head(*moments, params.head.units, params.head.dropout, len(classes))
    end = join_tail_and_head(tail, head)
    end.compile(
        make_optimizer(params, params.fine_tune.learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy()],
        jit_compile=False,
    )
    return end, batches


def keras_fit(end: keras.Model, batches: PhotoBatches) -> Callable[[], object]:
    """Return an epoch of Keras's own loop."""
    dataset = batches.as_dataset()
    return lambda: end.fit(dataset, epochs=1, shuffle=False, verbose=0)


def bare_steps(end: keras.Model, batches: PhotoBatches) -> Callable[[], object]:
    """Return an epoch of forward, backward and update on tensors that are in memory."""
    in_memory = [
        tuple(tf.constant(part) for part in batches[number]) for number in range(len(batches))
    ]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(activations: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(targets, end(activations, training=True), weights)
        gradients = tape.gradient(value, end.trainable_variables)
        end.optimizer.apply(gradients, end.trainable_variables)
        return value

    def epoch() -> None:
        for batch in in_memory:
            value = step(*batch)
        value.numpy()  # waits for the last step

    return epoch


if __name__ == "__main__":
    run_benchmark(main)
