"""The model file: the same bytes for the same weights, pixels in, class names on board, no code."""

import re
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from classifier_work import CLASSES, IMAGE_SIZE, build_parts, draw_pixels

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
from trashnet.networks import Network, compile_inference


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_pixels()


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray
) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Trunk, tail and head of a small network."""
    return build_parts(tmp_path_factory.mktemp("weights"), pixels)


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
