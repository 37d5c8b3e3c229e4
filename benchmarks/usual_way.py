"""Time the pipeline against the usual way of doing the same: no views and no features kept.

Run from the repository's root, on a machine with nothing else to do; the first
takes about fifteen minutes on two cores, the second, of the whole budget and with
an accuracy that counts, twenty-five:

    python -m benchmarks.usual_way --photos dataset-resized.zip --weights folder --lists folder
    python -m benchmarks.usual_way --photos ... --weights ... --lists ... --epochs 10

Both ways train MobileNetV2 at 224 x 224 for at most 10 + 10 epochs on the
authors' split of TrashNet. The usual way is Keras's ImageDataGenerator, a dense
head of 128 units, the whole network forward in every epoch, first the head,
then the last 20 layers with it, and early stopping. Preprocessing, steps and
frozen batch norm are as they should be, so its accuracy is the best that this
way has to give. Its seconds are those of all epochs, each after a phase's first
taken to last as long as the fastest of them: reading ahead as Keras does it,
some epochs wait long at their end for TensorFlow's tuner, which is left out.
The pipeline runs in a clone without a cache, first as it is and then with
another alpha. The sweep is reckoned from the same seconds: five alphas, and a
second model that takes as long.

Beside the seconds of the clock stand those of the processor, all cores
together, which other work on the machine hardly changes.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import pandas as pd
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from benchmarks import run_benchmark
from benchmarks.stage_times import make_clone, run_dvc
from trashnet.class_weights import class_weights

MODEL = "MobileNetV2"
IMAGE_SIZE = (224, 224)
EPOCHS = 10
PATIENCE = 3
ALPHA = 0.2
TRAINABLE_LAYERS = 20
LEARNING_RATES = {"head": 1e-3, "last layers": 1e-4}
RANGES = {
    "rotation_range": 20,
    "zoom_range": 0.2,
    "shear_range": 0.2,
    "horizontal_flip": True,
    "brightness_range": (0.7, 1.3),
}
SWEEP_ALPHAS = 5
SWEEP_MODELS = 2
SECONDS = ["clock", "processor"]


class PipelineRun(NamedTuple):
    """One DVC experiment.

    Attributes
    ----------
    stages : DataFrame
        A row a stage, with the columns of `SECONDS`.
    seconds : Series
        From the command to its end, with the index of `SECONDS`.
    accuracy : float
        On test.
    """

    stages: pd.DataFrame
    seconds: "pd.Series[float]"
    accuracy: float


class UsualRun(NamedTuple):
    """What the whole budget takes, as `SECONDS`, and the accuracy on test of what ran of it."""

    seconds: "pd.Series[float]"
    accuracy: float


class EpochSeconds(keras.callbacks.Callback):
    """Notes how long each epoch takes, its validation included."""

    def on_train_begin(self, logs: object = None) -> None:
        """Start a phase."""
        self.seconds: list[pd.Series[float]] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start an epoch."""
        self._started = now()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """End an epoch."""
        self.seconds.append(now() - self._started)


def main() -> None:
    """Print the seconds of both ways and their ratios."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        make_clone(clone)
        settings = pipeline_settings(options)
        first = run_pipeline(clone, settings)
        second = run_pipeline(clone, [*settings, "alpha=0.5"])
        usual = run_usual_way(clone, options.weights, options.epochs)

    runs = {"nothing cached": first, "another alpha": second}
    stages = pd.concat({name: run.stages for name, run in runs.items()}, axis="columns")
    print(stages.loc[first.stages.index].round(1).to_string(na_rep="-"))
    print_line("usual way", usual.seconds, usual.accuracy)
    for name, run in runs.items():
        print_line(f"pipeline, {name}", run.seconds, run.accuracy)
        print_ratios(usual.seconds / run.seconds)
    print(f"{SWEEP_ALPHAS} alphas x {SWEEP_MODELS} models")
    print_ratios(sweep_of_usual_way(usual) / sweep_of_pipeline(first, second))


def print_line(name: str, seconds: "pd.Series[float]", accuracy: float) -> None:
    """Print what a way took and reached."""
    clock, processor = seconds
    print(f"{name:24} {clock:6.0f} s, processor {processor:6.0f} s, test accuracy {accuracy:.3f}")


def print_ratios(ratios: "pd.Series[float]") -> None:
    """Print how many times faster the pipeline is."""
    clock, processor = ratios
    print(f"{'':4} usual way / pipeline {clock:.1f}, by processor time {processor:.1f}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="TrashNet's zip")
    parser.add_argument("--weights", type=Path, required=True, help="with <Model>.weights.h5")
    parser.add_argument("--lists", type=Path, required=True, help="with the authors' three lists")
    parser.add_argument("--epochs", type=int, choices=range(2, EPOCHS + 1), default=3)
    parser.add_argument(
        "-S", dest="settings", action="append", default=[], help="more settings of the pipeline"
    )
    return parser.parse_args()


def pipeline_settings(options: argparse.Namespace) -> list[str]:
    """Return what turns the default parameters into the same photos, split and budget."""
    return [
        "dataset=trashnet",
        f"datasets.trashnet.url={options.photos.resolve()}",
        f"datasets.trashnet.pretrained={options.weights.resolve()}",
        f"datasets.trashnet.image_size=[{IMAGE_SIZE[0]},{IMAGE_SIZE[1]}]",
        "split.method=official",
        f"split.files={options.lists.resolve()}",
        f"models=[{MODEL}]",
        f"initial.epochs={EPOCHS}",
        f"fine_tune.epochs={EPOCHS}",
        "mirror_images=false",  # the usual way asks once a photo
        *options.settings,
    ]


def run_pipeline(clone: Path, settings: list[str]) -> PipelineRun:
    """Run one experiment as a person does, and read what it brought."""
    flags = [flag for setting in settings for flag in ("-S", setting)]
    run = run_dvc(clone, "exp", "run", *flags)
    metrics = json.loads((clone / f"metrics/{MODEL}.json").read_text())
    table = run.stages.set_index("stage")
    table["clock"] = table["seconds"]
    table["processor"] = table["user_seconds"] + table["kernel_seconds"]
    seconds = pd.Series([run.seconds, run.processor_seconds], SECONDS)
    return PipelineRun(table[SECONDS], seconds, metrics["test"]["accuracy"])


def run_usual_way(clone: Path, weights: Path, epochs: int) -> UsualRun:
    """Train on the photos and the split of the clone, and test."""
    keras.utils.set_random_seed(1)
    started = now()
    splits = pd.read_csv(clone / "data/splits.csv", dtype="str", keep_default_na=False)
    train, val, test = (
        batches(clone / "data/images", splits[splits["split"] == name], augmented=name == "train")
        for name in ("train", "val", "test")
    )
    labels = splits.loc[splits["split"] == "train", "label"]
    weight = {
        train.class_indices[name]: value for name, value in class_weights(labels, ALPHA).items()
    }
    base, model = build(weights / f"{MODEL}.weights.h5", classes=len(train.class_indices))
    correction = pd.Series(0.0, SECONDS)
    for phase, learning_rate in LEARNING_RATES.items():
        model.compile(
            keras.optimizers.Adam(learning_rate),
            "categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,  # XLA runs depthwise convolutions ten times slower on a CPU
        )
        stopping = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
        clock = EpochSeconds()
        model.fit(
            train,
            validation_data=val,
            epochs=epochs,
            class_weight=weight,
            callbacks=[stopping, clock],
            verbose=0,
        )
        later = pd.DataFrame(clock.seconds[1:])
        budget = len(clock.seconds) if epochs == EPOCHS else EPOCHS
        correction += (budget - 1) * later.min() - later.sum()
        print(
            f"usual way, {phase}: {len(clock.seconds)} epochs, of the later ones each from "
            f"{later['clock'].min():.1f} to {later['clock'].max():.1f} s, "
            f"processor {later['processor'].min():.1f} to {later['processor'].max():.1f} s",
            flush=True,
        )
        for layer in base.layers[-TRAINABLE_LAYERS:]:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    accuracy = model.evaluate(test, return_dict=True, verbose=0)["accuracy"]
    return UsualRun(now() - started + correction, accuracy)


def build(weights: Path, classes: int) -> tuple[keras.Model, keras.Model]:
    """Return the frozen backbone, and the classifier that contains its layers."""
    base = getattr(keras.applications, MODEL)(
        include_top=False, weights=None, input_shape=(*IMAGE_SIZE, 3), pooling="avg"
    )
    base.load_weights(weights)
    base.trainable = False
    hidden = keras.layers.Dense(128, activation="relu")(base.output)
    hidden = keras.layers.Dropout(0.2)(hidden)
    probabilities = keras.layers.Dense(classes, activation="softmax")(hidden)
    return base, keras.Model(base.input, probabilities)


def batches(images: Path, photos: pd.DataFrame, augmented: bool) -> Any:
    """Return Keras's generator of photos read, warped and scaled anew in every epoch."""
    generator = ImageDataGenerator(
        preprocessing_function=keras.applications.mobilenet_v2.preprocess_input,
        **(RANGES if augmented else {}),
    )
    return generator.flow_from_dataframe(
        photos,
        str(images),
        x_col="path",
        y_col="label",
        target_size=IMAGE_SIZE,
        batch_size=32,
        shuffle=augmented,
        seed=1,
    )


def sweep_of_usual_way(usual: UsualRun) -> "pd.Series[float]":
    """Return the seconds of training every model with every alpha."""
    return SWEEP_ALPHAS * SWEEP_MODELS * usual.seconds


def sweep_of_pipeline(first: PipelineRun, second: PipelineRun) -> "pd.Series[float]":
    """Return the seconds of the same: what depends on the model or the alpha runs again."""
    of_model = first.stages.loc[["pretrained", "features"]].sum()
    of_both = second.stages.loc[["train", "evaluate"]].sum()
    of_alpha = second.seconds - of_both
    shared = first.seconds - of_model - first.stages.loc[["train", "evaluate"]].sum() - of_alpha
    return (
        shared
        + SWEEP_MODELS * of_model
        + SWEEP_ALPHAS * of_alpha
        + SWEEP_ALPHAS * SWEEP_MODELS * of_both
    )


def now() -> "pd.Series[float]":
    """Return the clock and this process's processor time, in seconds."""
    return pd.Series([time.perf_counter(), time.process_time()], SECONDS)


if __name__ == "__main__":
    run_benchmark(main)
