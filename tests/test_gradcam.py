"""Where a classifier saw what it says."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from trashnet.classifier import (
    Classifier,
    assemble,
    build_head,
    join_classifiers,
    load_classifier,
    save_classifier,
)
from trashnet.gradcam import heat_map, lay_over
from trashnet.networks import Network, build_backbone, cut_network, settle_random_weights
from trashnet.weights import write_random_weights_note

IMAGE_SIZE = (96, 128)


def random_classifier(
    backbone_name: str, folder: Path, image_size: tuple[int, int] = IMAGE_SIZE
) -> Classifier:
    """Return a classifier on random weights as it comes back from its file."""
    write_random_weights_note(folder / "random.weights.h5")
    backbone = build_backbone(backbone_name, image_size, folder / "random.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (8, *image_size, 3), np.uint8)
    settle_random_weights(backbone_name, backbone, pixels)
    network = cut_network(backbone_name, backbone, 20)
    examples = np.random.default_rng(0).normal(2, 0.2, (50, backbone.output_shape[-1]))
    head = build_head(examples.mean(axis=0), examples.var(axis=0), [], 0.2, 3)
    save_classifier(Classifier(assemble(network, head), ["a", "b", "c"]), folder / "model.keras")
    return load_classifier(folder / "model.keras")


def colors_classifier() -> Classifier:
    """Return a model whose feature map has one place for each 4 x 4 pixels and says red or blue."""
    pixels = keras.Input((8, 16, 3))
    trunk = keras.Model(pixels, keras.layers.AveragePooling2D(4)(pixels), name="trunk")
    means = keras.Input((2, 4, 3))
    tail = keras.Model(means, keras.layers.Rescaling(1 / 255)(means), name="tail")
    pooled = keras.Input((3,))
    dense = keras.layers.Dense(2, use_bias=False)
    head = keras.Model(pooled, dense(pooled), name="head")
    dense.set_weights([np.array([[1, -1], [0, 0], [-1, 1]])])
    return Classifier(assemble(Network(trunk, tail), head), ["red", "blue"])


def test_heat_is_where_the_class_is() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :4, 0] = 255
    pixels[4:, 8:, 2] = 255

    classifier = colors_classifier()

    assert heat_map(classifier, pixels, 0).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert heat_map(classifier, pixels, 1).tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]


def test_there_is_no_heat_where_nothing_speaks_for_the_class() -> None:
    blue = np.zeros((8, 16, 3), np.uint8)
    blue[..., 2] = 255

    assert not heat_map(colors_classifier(), blue, 0).any()


@pytest.mark.parametrize(
    "backbone",
    [
        "MobileNetV3Small",
        pytest.param("MobileNetV2", marks=pytest.mark.slow),
        pytest.param("EfficientNetV2S", marks=pytest.mark.slow),
        pytest.param("ResNet101V2", marks=pytest.mark.slow),
    ],
)
def test_heat_map_of_a_loaded_model_is_its_last_feature_map_weighted(
    backbone: str, tmp_path: Path
) -> None:
    classifier = random_classifier(backbone, tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (*IMAGE_SIZE, 3), np.uint8)

    heat = heat_map(classifier, pixels, 1)

    # With a linear head the weights of Grad-CAM are the head's own, up to a factor.
    model = classifier.model
    features = model.get_layer("tail")(model.get_layer("trunk")(pixels[None].astype("float32")))
    norm, dense = (model.get_layer("head").get_layer(name) for name in ("standardize", "logits"))
    weights = dense.kernel[:, 1] / np.sqrt(norm.variance).ravel()
    expected = np.maximum(np.asarray(features)[0] @ np.asarray(weights), 0)
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-3)


def test_photo_is_grey_where_it_is_cold_and_coloured_where_it_is_hot() -> None:
    photo = Image.new("RGB", (40, 20), "red")

    shown = np.asarray(lay_over(photo, np.array([[0.0, 0.0, 1.0, 1.0]])), int)

    assert shown.shape == (20, 40, 3)
    assert np.ptp(shown[:, :5], axis=2).max() == 0
    assert (shown[:, -5:, 0] - shown[:, -5:, 2]).min() > 100


def test_heat_of_an_ensemble_is_the_mean_of_its_members() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :4, 0] = 255
    one, other = colors_classifier(), colors_classifier()
    other.model.get_layer("head").set_weights([np.zeros((3, 2))])  # nothing speaks for anything

    heat = heat_map(join_classifiers([one, other]), pixels, 0)

    assert heat.tolist() == [[0.5, 0, 0, 0], [0, 0, 0, 0]]


def test_members_whose_maps_differ_in_size_make_one_map(tmp_path: Path) -> None:
    """At 48 x 64 pixels, MobileNet's last feature map has one row and MobileNetV2's two."""
    members = []
    for backbone in ("MobileNet", "MobileNetV2"):
        (tmp_path / backbone).mkdir()
        members.append(random_classifier(backbone, tmp_path / backbone, (48, 64)))
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)

    heat = heat_map(join_classifiers(members), pixels, 0)

    assert heat.shape == (2, 2)
