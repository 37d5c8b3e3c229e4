"""The model file: the same bytes for the same weights, pixels in, class names on board, no code."""

import contextlib
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from tensorflow.errors import ResourceExhaustedError

from trashnet.classifier import (
    Classifier,
    assemble,
    build_head,
    join_classifiers,
    join_tail_and_head,
    load_classifier,
    member_models,
    save_classifier,
)
from trashnet.errors import PipelineError
from trashnet.networks import (
    Network,
    build_backbone,
    compile_inference,
    cut_network,
    settle_random_weights,
)
from trashnet.weights import write_random_weights_note

IMAGE_SIZE = (48, 64)
CLASSES = ["glass", "paper, and card", "Ünrat"]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, *IMAGE_SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray
) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Trunk, tail and head of a small network."""
    weights = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    write_random_weights_note(weights)
    backbone = build_backbone("MobileNetV3Small", IMAGE_SIZE, weights)
    settle_random_weights("MobileNetV3Small", backbone, pixels)
    trunk, tail = cut_network("MobileNetV3Small", backbone, 20)
    examples = np.random.default_rng(0).normal(2, 0.2, (50, tail.output_shape[-1]))
    moments = examples.mean(axis=0), examples.var(axis=0)
    return trunk, tail, build_head(*moments, [16], 0.2, len(CLASSES))


@pytest.fixture(scope="module")
def classifier(parts: tuple[keras.Model, keras.Model, keras.Model]) -> Classifier:
    trunk, tail, head = parts
    return Classifier(assemble(Network(trunk, tail), head), CLASSES)


def test_head_has_the_layers_of_params_and_bounds_a_constant_feature() -> None:
    head = build_head(np.zeros(4), np.array([1, 1, 1, 0.0]), [16, 8], 0.3, 3)

    assert [layer.units for layer in head.layers if hasattr(layer, "units")] == [16, 8, 3]
    assert [layer.rate for layer in head.layers if hasattr(layer, "rate")] == [0.3] * 3
    standardized = head.get_layer("standardize")(np.ones((1, 4), np.float32))
    assert np.abs(standardized).max() < 50


def test_a_saved_model_comes_back_whole(
    classifier: Classifier, pixels: np.ndarray, tmp_path: Path
) -> None:
    save_classifier(classifier, tmp_path / "model.keras")
    loaded = load_classifier(tmp_path / "model.keras")
    assert loaded.class_names == CLASSES
    assert loaded.image_size == IMAGE_SIZE
    np.testing.assert_array_equal(loaded.predictor()(pixels), classifier.predictor()(pixels))


def test_saving_twice_gives_the_same_bytes(classifier: Classifier, tmp_path: Path) -> None:
    save_classifier(classifier, tmp_path / "one.keras")
    time.sleep(2.1)  # a zip tells time in steps of two seconds
    save_classifier(classifier, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()


def test_probabilities_come_from_raw_pixels_and_sum_to_one(
    classifier: Classifier, pixels: np.ndarray
) -> None:
    probabilities = classifier.predictor()(pixels)
    assert probabilities.shape == (8, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_cached_path_says_what_the_saved_model_says(
    classifier: Classifier,
    parts: tuple[keras.Model, keras.Model, keras.Model],
    pixels: np.ndarray,
) -> None:
    """Training sees float16 activations; serving runs the whole network."""
    trunk, tail, head = parts
    cached = trunk(pixels.astype("float32"), training=False).numpy().astype(np.float16)
    logits = join_tail_and_head(tail, head)(cached.astype(np.float32), training=False)
    np.testing.assert_allclose(keras.ops.softmax(logits), classifier.predictor()(pixels), atol=2e-3)


@pytest.mark.parametrize("mirror", [False, True])
def test_evaluation_and_the_app_hear_the_same_answers(
    mirror: bool, parts: tuple[keras.Model, keras.Model, keras.Model], pixels: np.ndarray
) -> None:
    """`evaluate` runs the model by LiteRT on a processor, the app and the command line by Keras."""
    trunk, tail, head = parts
    classifier = Classifier(assemble(Network(trunk, tail), head, mirror), CLASSES)

    (evaluated,) = compile_inference(classifier.model)(pixels)

    np.testing.assert_allclose(evaluated, classifier.predictor()(pixels), atol=1e-5)


def test_mirror_images_have_a_quarter_of_the_say_each(
    classifier: Classifier,
    parts: tuple[keras.Model, keras.Model, keras.Model],
    pixels: np.ndarray,
    tmp_path: Path,
) -> None:
    trunk, tail, head = parts
    mirrored = Classifier(assemble(Network(trunk, tail), head, mirror=True), CLASSES)
    save_classifier(mirrored, tmp_path / "mirrored.keras")

    answers = load_classifier(tmp_path / "mirrored.keras").predictor()(pixels)

    turned = [pixels, pixels[:, :, ::-1], pixels[:, ::-1], pixels[:, ::-1, ::-1]]
    each = [np.log(classifier.predictor()(np.ascontiguousarray(photos))) for photos in turned]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(answers, keras.ops.softmax(np.mean(each, axis=0)), atol=1e-5)


def test_an_ensemble_answers_with_the_mean_of_its_members(
    classifier: Classifier,
    parts: tuple[keras.Model, keras.Model, keras.Model],
    pixels: np.ndarray,
    tmp_path: Path,
) -> None:
    trunk, tail, _ = parts
    examples = np.random.default_rng(1).normal(2, 0.2, (50, tail.output_shape[-1]))
    head = build_head(examples.mean(axis=0), examples.var(axis=0), [], 0.2, len(CLASSES))
    other = Classifier(assemble(Network(trunk, tail), head, mirror=True), CLASSES)
    expected = (classifier.predictor()(pixels) + other.predictor()(pixels)) / 2
    for name, member in {"one": classifier, "other": other}.items():
        save_classifier(member, tmp_path / f"{name}.keras")
    members = [load_classifier(tmp_path / f"{name}.keras") for name in ("one", "other")]

    save_classifier(join_classifiers(members), tmp_path / "pair.keras")

    pair = load_classifier(tmp_path / "pair.keras")
    assert pair.class_names == CLASSES
    np.testing.assert_allclose(pair.predictor()(pixels), expected, atol=1e-6)
    assert len(member_models(pair.model)) == 2


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


def test_no_layer_needs_custom_code(classifier: Classifier, tmp_path: Path) -> None:
    save_classifier(classifier, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        config = file.read("config.json").decode()
    assert "Lambda" not in config
    assert '"module": "trashnet' not in config


def test_no_memory_address_gets_into_the_file(classifier: Classifier, tmp_path: Path) -> None:
    """It is another one in the next process, and then equal models are no equal files."""
    save_classifier(classifier, tmp_path / "model.keras")

    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        numbers = re.findall(rb'"shared_object_id": (\d+)', file.read("config.json"))
    assert numbers
    assert max(map(int, numbers)) < len(numbers)


def test_a_model_of_photos_of_any_size_is_refused(tmp_path: Path) -> None:
    source = keras.Input((None, None, 3))
    model = keras.Model(source, keras.layers.GlobalAveragePooling2D()(source))
    save_classifier(Classifier(model, ["r", "g", "b"]), tmp_path / "model.keras")

    with pytest.raises(PipelineError, match="no photos of one size"):
        load_classifier(tmp_path / "model.keras")
