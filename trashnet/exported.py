"""The model file for phones and bins: LiteRT, with the class names and the image size inside."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np

from trashnet.classifier import MODELS
from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.files import ZIP_EPOCH, atomic_file
from trashnet.litert import make_interpreter

EXPORT = "name the model in `export` of params.yaml and run `dvc repro`"
"""How a person gets a file of this kind."""
LABELS_MEMBER = "labels.txt"
DESCRIPTION_MEMBER = "model.json"

OUTPUT_STEPS = 256
"""An integer network's probabilities come in steps of one by this."""


@dataclass(frozen=True)
class ExportedClassifier:
    """A LiteRT model as loaded from its file; it is used like a `Classifier`.

    Attributes
    ----------
    flat_buffer : bytes
        RGB pixels in [0, 255], float32 or uint8, shape (1, height, width, 3),
        to probabilities, float32 or uint8 in steps of 1/256, shape (1, classes).
    name : str
        The backbone.
    class_names : list of str
        The class of each probability.
    image_size : tuple of two int
        Height and width in pixels that the model takes.
    """

    flat_buffer: bytes
    name: str
    class_names: list[str]
    image_size: tuple[int, int]

    def predictor(self, threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
        """Make the model ready to run on so many threads, by default one a core.

        Returns
        -------
        callable
            Takes uint8 pixels of shape (n, height, width, 3), any n, and
            returns float32 probabilities of shape (n, classes).
        """
        interpreter = make_interpreter(self.flat_buffer, threads)
        interpreter.allocate_tensors()
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        steps = OUTPUT_STEPS if target["dtype"] == np.uint8 else 1

        def predict(pixels: np.ndarray) -> np.ndarray:
            probabilities = np.empty((len(pixels), len(self.class_names)), np.float32)
            for row, photo in zip(probabilities, pixels, strict=True):
                interpreter.set_tensor(source["index"], photo[None].astype(source["dtype"]))
                interpreter.invoke()
                row[:] = interpreter.get_tensor(target["index"])[0]
            return probabilities / np.float32(steps)

        return predict


def float_file(model: str) -> Path:
    """Return where a backbone's LiteRT model in float stands."""
    return MODELS / f"{model}.tflite"


def int8_file(model: str) -> Path:
    """Return where a backbone's LiteRT model in integers stands."""
    return MODELS / f"{model}-int8.tflite"


def save_exported(exported: ExportedClassifier, path: Path) -> None:
    """Write a ``.tflite`` file that also names its classes; equal models give equal bytes.

    Class names and a description are appended as a zip, the way of TFLite's
    metadata: the file is a model to every interpreter and an archive to `unzip`.
    """
    description = json.dumps(_describe(exported), indent=2) + "\n"
    content = io.BytesIO(exported.flat_buffer)
    with zipfile.ZipFile(content, "a") as file:
        labels = "".join(f"{name}\n" for name in exported.class_names)
        file.writestr(zipfile.ZipInfo(LABELS_MEMBER, ZIP_EPOCH), labels)
        file.writestr(zipfile.ZipInfo(DESCRIPTION_MEMBER, ZIP_EPOCH), description)
    with atomic_file(path) as partial:
        partial.write_bytes(content.getvalue())


def load_exported(path: Path) -> ExportedClassifier:
    """Load a model written by `save_exported`.

    Raises
    ------
    PipelineError
        If the file is missing or is not such a model.
    """
    if not path.is_file():
        raise PipelineError(f"There is no model at {path}; {EXPORT}.")
    flat_buffer = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(flat_buffer)) as file:
            class_names = file.read(LABELS_MEMBER).decode().removesuffix("\n").split("\n")
            description = json.loads(file.read(DESCRIPTION_MEMBER))
        height, width = description["image_size"]
        exported = ExportedClassifier(
            flat_buffer, description["model"], class_names, (height, width)
        )
        _check_shapes(exported)
    except Exception as error:  # LiteRT passes on whatever it meets in a broken or foreign file
        if is_out_of_memory(error):
            raise
        raise PipelineError(
            f"{path} is not a LiteRT model that this pipeline exported "
            f"({shorten(str(error), 200, placeholder=' ...')}); {EXPORT}."
        ) from None
    return exported


def _describe(exported: ExportedClassifier) -> dict[str, object]:
    interpreter = make_interpreter(exported.flat_buffer)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    steps = f" / {OUTPUT_STEPS}" if target["dtype"] == np.uint8 else ""
    return {
        "model": exported.name,
        "image_size": list(exported.image_size),
        "input": f"RGB pixels 0 to 255, {np.dtype(source['dtype']).name}, shape "
        f"{source['shape'].tolist()}, the whole photo stretched to image_size [height, width]",
        "output": f"{np.dtype(target['dtype']).name}{steps} is the probability of each class in "
        f"{LABELS_MEMBER}, in that order",
    }


def _check_shapes(exported: ExportedClassifier) -> None:
    interpreter = make_interpreter(exported.flat_buffer)
    interpreter.allocate_tensors()  # finds most of what is broken inside
    inputs = [detail["shape"].tolist() for detail in interpreter.get_input_details()]
    outputs = [detail["shape"].tolist() for detail in interpreter.get_output_details()]
    promised = [[1, *exported.image_size, 3]], [[1, len(exported.class_names)]]
    if (inputs, outputs) != promised:
        raise ValueError(f"it takes {inputs} and returns {outputs}, not {promised}")
