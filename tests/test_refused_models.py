"""Model files that are refused in a sentence: missing, broken, replaced, or more than layers."""

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from classifier_work import CLASSES, IMAGE_SIZE, build_parts, draw_pixels
from tensorflow.errors import ResourceExhaustedError

from trashnet.classifier import Classifier, assemble, load_classifier, save_classifier
from trashnet.errors import PipelineError
from trashnet.networks import Network


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    trunk, tail, head = build_parts(tmp_path_factory.mktemp("weights"), draw_pixels())
    return Classifier(assemble(Network(trunk, tail), head), CLASSES)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no model at .*dvc repro"):
        load_classifier(tmp_path / "missing.keras")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_what_is_not_a_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match="is not a model that this pipeline saved"):
        load_classifier(path)


@pytest.mark.parametrize("error", [MemoryError(), ResourceExhaustedError(None, None, "OOM")])
def test_want_of_memory_is_not_called_a_broken_model(
    error: Exception, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_classifier(classifier, tmp_path / "model.keras")
    monkeypatch.setattr(keras.models, "load_model", Mock(side_effect=error))

    with pytest.raises(type(error)):
        load_classifier(tmp_path / "model.keras")


@pytest.mark.parametrize("gone", [False, True])
def test_a_model_that_is_trained_again_meanwhile_is_refused(
    gone: bool, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class names were read before, and may stand in another order now."""
    path = tmp_path / "model.keras"
    save_classifier(classifier, path)
    load_model = keras.models.load_model

    def load_the_next(*arguments: Any, **options: Any) -> keras.Model:
        save_classifier(Classifier(classifier.model, CLASSES[::-1]), path)
        model = load_model(*arguments, **options)
        if gone:
            path.unlink()
        return model

    monkeypatch.setattr(keras.models, "load_model", load_the_next)

    with pytest.raises(PipelineError, match="was written anew while it was read"):
        load_classifier(path)


def test_a_model_of_photos_of_any_size_is_refused(tmp_path: Path) -> None:
    source = keras.Input((None, None, 3))
    model = keras.Model(source, keras.layers.GlobalAveragePooling2D()(source))
    save_classifier(Classifier(model, ["r", "g", "b"]), tmp_path / "model.keras")

    with pytest.raises(PipelineError, match="no photos of one size"):
        load_classifier(tmp_path / "model.keras")


def test_a_model_with_code_in_it_is_refused(tmp_path: Path) -> None:
    source = keras.Input((*IMAGE_SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(source)
    model = keras.Model(source, keras.layers.Lambda(lambda x: x * 2)(pooled))
    path = tmp_path / "model.keras"
    save_classifier(Classifier(model, ["r", "g", "b"]), path)
    with pytest.raises(PipelineError, match="is not a model that this pipeline saved"):
        load_classifier(path)


HOSTILE = {
    "a function of the system": {"module": "os", "class_name": "system", "config": "true"},
    "a function that turns safe mode off": {
        "module": "keras.config",
        "class_name": "enable_unsafe_deserialization",
        "config": {},
    },
    "a function in a standard layer": {
        "module": "keras.layers",
        "class_name": "Activation",
        "config": {"activation": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}},
    },
    "a model from another place": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"filepath": "/", "call_endpoint": "serve"},
    },
    "a file of this machine": {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"vocabulary": "/etc/passwd"},
    },
    "nothing that can be called": {"module": "keras.layers", "class_name": 3, "config": None},
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_brings_more_than_layers_is_refused_in_a_sentence(
    hostile: dict[str, object], classifier: Classifier, tmp_path: Path
) -> None:
    def plant(config: dict[str, Any]) -> None:
        layer = config["config"]["layers"][-1]
        layer |= {"registered_name": None} | hostile

    path = changed(classifier, tmp_path, "config.json", plant)

    with pytest.raises(PipelineError, match="is not a model that this pipeline saved") as refused:
        load_classifier(path)

    assert len(str(refused.value)) < 500 + len(str(path))


@pytest.mark.parametrize("classes", [["glass"], ["glass", "paper", 3], []])
def test_a_file_whose_classes_are_not_its_answers_is_refused(
    classes: list[object], classifier: Classifier, tmp_path: Path
) -> None:
    def put(names: list[object]) -> None:
        names[:] = classes

    path = changed(classifier, tmp_path, "classes.json", put)

    with pytest.raises(PipelineError, match="is not a model that this pipeline saved"):
        load_classifier(path)


@pytest.mark.parametrize("seed", range(20))
def test_a_file_with_broken_weights_is_refused_or_loaded(
    seed: int, classifier: Classifier, tmp_path: Path
) -> None:
    path = changed(classifier, tmp_path, "classes.json", lambda names: None)
    random = np.random.default_rng(seed)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    weights = bytearray(members["model.weights.h5"])
    for place in random.integers(4096, size=20):
        weights[place] ^= 0xFF
    write_members(path, members | {"model.weights.h5": bytes(weights)})

    with contextlib.suppress(PipelineError):
        load_classifier(path)


def changed(
    classifier: Classifier, folder: Path, member: str, change: Callable[[Any], None]
) -> Path:
    """Save a model and change one of the JSON files in it."""
    path = folder / "model.keras"
    save_classifier(classifier, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    content = json.loads(members[member])
    change(content)
    write_members(path, members | {member: json.dumps(content).encode()})
    return path


def write_members(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
