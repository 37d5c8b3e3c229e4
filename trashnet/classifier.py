"""The model people use: RGB pixels in, class probabilities out, class names on board."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import keras
import numpy as np
import tensorflow as tf

from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.files import ZIP_EPOCH, atomic_file
from trashnet.networks import Network

MODELS = Path("models")
CLASSES_MEMBER = "classes.json"


@dataclass(frozen=True)
class Classifier:
    """A trained model as loaded from its file.

    Attributes
    ----------
    model : keras.Model
        RGB pixels in [0, 255], shape (n, height, width, 3), to probabilities,
        shape (n, classes).
    class_names : list of str
        The class of each probability.
    """

    model: keras.Model
    class_names: list[str]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the model takes."""
        _, height, width, _ = self.model.input_shape
        return height, width

    def predictor(self) -> Callable[[np.ndarray], np.ndarray]:
        """Compile the forward pass.

        Returns
        -------
        callable
            Takes uint8 pixels of shape (n, height, width, 3) and returns
            float32 probabilities of shape (n, classes).
        """
        # XLA runs depthwise convolutions ten times slower on a CPU.
        forward = tf.function(
            lambda pixels: self.model(tf.cast(pixels, tf.float32), training=False),
            jit_compile=False,
            input_signature=[tf.TensorSpec((None, *self.image_size, 3), tf.uint8)],
        )
        return lambda pixels: forward(tf.constant(pixels)).numpy()


def classifier_file(model: str) -> Path:
    """Return where the trained model of a backbone stands."""
    return MODELS / f"{model}.keras"


def build_head(
    mean: np.ndarray, variance: np.ndarray, units: Sequence[int], dropout: float, classes: int
) -> keras.Model:
    """Build the trainable end: pooled features to logits.

    It starts by standardizing each feature. Backbones differ a hundredfold in
    the scale of their features, and one learning rate must serve them all.

    Parameters
    ----------
    mean, variance : float64 array, shape (channels,)
        Of the pooled features of training photos.
    units : sequence of int
        Width of each hidden ReLU layer.
    dropout : float
        Share of units dropped before each dense layer, in [0, 1).
    classes : int
        Number of logits.
    """
    # A feature that hardly varies in training must not explode on other photos.
    variance = np.maximum(variance, 1e-3 * variance.mean() + 1e-12)
    standardize = keras.layers.Normalization(mean=mean, variance=variance, name="standardize")
    pooled = keras.Input(mean.shape, name="pooled")
    hidden = standardize(pooled)
    for width in units:
        hidden = keras.layers.Dropout(dropout)(hidden)
        hidden = keras.layers.Dense(width, activation="relu")(hidden)
    hidden = keras.layers.Dropout(dropout)(hidden)
    logits = keras.layers.Dense(classes, name="logits")(hidden)
    return keras.Model(pooled, logits, name="head")


def join_tail_and_head(tail: keras.Model, head: keras.Model) -> keras.Model:
    """Return the part that fine-tuning trains: activations at the cut to logits."""
    activations = keras.Input(tail.input_shape[1:], name="activations")
    return keras.Model(activations, head(_pool(tail(activations))))


def assemble(network: Network, head: keras.Model, mirror: bool = False) -> keras.Model:
    """Return the whole model: pixels in [0, 255] to probabilities.

    Parameters
    ----------
    network : Network
        Trunk and tail.
    head : keras.Model
        Pooled features to logits.
    mirror : bool
        Take the mean logits of the photo, its mirror image and both of them
        upside down: four times the work.
    """
    pixels = keras.Input(network.trunk.input_shape[1:], name="pixels")
    photos = _mirror_images(pixels) if mirror else pixels
    logits = head(_pool(network.tail(network.trunk(photos))))
    if mirror:
        logits = keras.ops.mean(keras.ops.reshape(logits, (4, -1, logits.shape[-1])), axis=0)
    # Last, because the integers of an 8-bit export count 256ths only of a softmax.
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    return keras.Model(pixels, probabilities, name="classifier")


def _mirror_images(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Return the photos and their three mirror images as one batch, so that all share one pass."""
    both = keras.layers.Concatenate(axis=0)([pixels, keras.ops.flip(pixels, axis=2)])
    return keras.layers.Concatenate(axis=0)([both, keras.ops.flip(both, axis=1)])


def join_classifiers(members: Sequence[Classifier]) -> Classifier:
    """Return a classifier that answers with the mean of its members' probabilities.

    Parameters
    ----------
    members : sequence of Classifier
        At least two, of the same image size and classes, as `load_classifier`
        returns them. They become layers, named ``member_0`` and so on.
    """
    pixels = keras.Input((*members[0].image_size, 3), name="pixels")
    answers = []
    for number, member in enumerate(members):
        member.model.name = f"member_{number}"
        answers.append(member.model(pixels))
    probabilities = keras.layers.Average(name="probabilities")(answers)
    model = keras.Model(pixels, probabilities, name="ensemble")
    return Classifier(model, members[0].class_names)


def member_models(model: keras.Model) -> list[keras.Model]:
    """Return the models that an ensemble joins; of any other model, itself alone."""
    return [layer for layer in model.layers if layer.name.startswith("member_")] or [model]


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write a ``.keras`` file that also names its classes.

    The same weights always give the same bytes: Keras's own file carries the
    time of saving in its metadata and in every zip member.
    """
    with atomic_file(path) as partial:
        classifier.model.save(partial)
        members = _read_members(partial)
        metadata = json.loads(members["metadata.json"])
        del metadata["date_saved"]
        members["metadata.json"] = json.dumps(metadata).encode()
        members["config.json"] = _number_shared_objects(members["config.json"])
        members[CLASSES_MEMBER] = json.dumps(classifier.class_names).encode()
        _write_members(partial, members)


def describe_saved(classifier: Classifier, path: Path) -> dict[str, object]:
    """Return what training.json says of any saved model: its size, and which file it is.

    The file stands in a list, which `dvc metrics diff` leaves out: a hash is no metric.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "model": {"parameters": classifier.model.count_params()},
        "files": [{"path": path.as_posix(), "sha256": sha256}],
    }


def load_classifier(path: Path) -> Classifier:
    """Load a model written by `save_classifier`, in Keras's safe mode.

    Raises
    ------
    PipelineError
        If the file is missing, is not such a model, holds code (a Lambda
        layer), which safe mode refuses to run, or is replaced meanwhile.
    """
    if not path.is_file():
        raise PipelineError(f"There is no model at {path}; train it with `dvc repro`.")
    found = _which_file(path)
    try:
        with zipfile.ZipFile(path) as file:
            class_names = json.loads(file.read(CLASSES_MEMBER))
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        _check_shapes(model, class_names)
    except Exception as error:  # Keras passes on whatever it meets in a broken or foreign file
        if is_out_of_memory(error):
            raise
        raise PipelineError(
            f"{path} is not a model that this pipeline saved "
            f"({shorten(str(error), 200, placeholder=' ...')}); train it again with `dvc repro`."
        ) from None
    # Else the names might be those of one model and the weights those of the next.
    if _which_file(path) != found:
        raise PipelineError(f"{path} was written anew while it was read; do the same once more.")
    return Classifier(model, class_names)


def _which_file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:  # `dvc repro` takes a model away before it trains the next
        return None
    return found.st_ino, found.st_mtime_ns


def _check_shapes(model: keras.Model, class_names: list[str]) -> None:
    source, target = model.input_shape, model.output_shape
    if len(source) != 4 or source[3] != 3 or None in source[1:]:
        raise ValueError(f"it takes {source} and no photos of one size")
    if not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"its classes are {class_names} and not names")
    if target != (None, len(class_names)):
        raise ValueError(f"it returns {target} and knows the classes {class_names}")


def _pool(feature_map: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.GlobalAveragePooling2D(name="pool")(feature_map)


def _number_shared_objects(config: bytes) -> bytes:
    """Replace memory addresses, by which Keras tells shared objects, with running numbers."""
    numbers: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return b'"shared_object_id": %d' % numbers.setdefault(match[1], len(numbers))

    return re.sub(rb'"shared_object_id": (\d+)', number, config)


def _read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def _write_members(path: Path, members: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)
    path.write_bytes(buffer.getvalue())
