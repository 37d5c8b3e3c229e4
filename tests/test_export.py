"""The LiteRT files: they say what Keras says, in plain pixels, with their class names on board."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import export
from trashnet.classifier import (
    Classifier,
    assemble,
    build_head,
    classifier_file,
    load_classifier,
    save_classifier,
)
from trashnet.dataset import IMAGES, SPLITS, read_splits
from trashnet.exported import float_file, int8_file, load_exported
from trashnet.images import load_pixels
from trashnet.litert import is_integer_only, make_interpreter
from trashnet.metrics import predictions_table, write_predictions
from trashnet.networks import build_backbone, cut_network, settle_random_weights
from trashnet.weights import write_random_weights_note

MODEL = "MobileNetV3Small"
IMAGE_SIZE = (48, 64)
CLASSES = ["glass", "paper, and card", "Ünrat"]
SPLIT_OF_PHOTO = ["train"] * 8 + ["val"] * 2 + ["test"] * 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after `evaluate`: smooth coloured noise as photos, a model, its answers."""
    root = tmp_path_factory.mktemp("repository")
    splits = draw_photos(root)
    pixels = np.stack([load_pixels(root / IMAGES / path, IMAGE_SIZE) for path in splits["path"]])
    classifier = small_classifier(root, pixels)
    save_classifier(classifier, root / classifier_file(MODEL))
    test = splits[splits["split"] == "test"]
    table = predictions_table(
        [IMAGES / path for path in test["path"]],
        test["label"].tolist(),
        classifier.predictor()(pixels[test.index]),
        CLASSES,
    )
    write_predictions(root / "metrics" / MODEL / "predictions-test.csv", table)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        export.main(MODEL)
    return root


def draw_photos(root: Path) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = []
    for label, tint in zip(CLASSES, ([40, 0, 0], [0, 40, 0], [0, 0, 40]), strict=True):
        (root / IMAGES / label).mkdir(parents=True)
        for number, split in enumerate(SPLIT_OF_PHOTO):
            coarse = random.integers(20, 200, (6, 8, 3)) + tint
            path = f"{label}/{number:02}.png"
            Image.fromarray(np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)).save(
                root / IMAGES / path
            )
            rows.append({"path": path, "label": label, "group": path, "split": split, "reason": ""})
    splits = pd.DataFrame(rows)
    splits.to_csv(root / SPLITS, index=False)
    return splits


def small_classifier(root: Path, pixels: np.ndarray) -> Classifier:
    weights = root / "random.weights.h5"
    write_random_weights_note(weights)
    backbone = build_backbone(MODEL, IMAGE_SIZE, weights)
    settle_random_weights(MODEL, backbone, pixels)
    network = cut_network(MODEL, backbone, 20)
    features = network.tail(network.trunk(pixels.astype("float32"), training=False), training=False)
    pooled = features.numpy().mean(axis=(1, 2))
    head = build_head(pooled.mean(axis=0), pooled.var(axis=0), [16], 0.2, len(CLASSES))
    return Classifier(assemble(network, head, mirror=True), CLASSES)


@pytest.fixture(scope="module")
def pixels(root: Path) -> np.ndarray:
    return np.stack([load_pixels(path, IMAGE_SIZE) for path in sorted(root.rglob("*.png"))])


@pytest.fixture(scope="module")
def keras_probabilities(root: Path, pixels: np.ndarray) -> np.ndarray:
    return load_classifier(root / classifier_file(MODEL)).predictor()(pixels)


def test_the_float_file_says_what_keras_says(
    root: Path, pixels: np.ndarray, keras_probabilities: np.ndarray
) -> None:
    probabilities = load_exported(root / float_file(MODEL)).predictor()(pixels)

    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, keras_probabilities, atol=1e-4)
    assert keras_probabilities.std() > 0.05  # the comparison compares something


def test_the_int8_file_says_nearly_what_keras_says(
    root: Path, pixels: np.ndarray, keras_probabilities: np.ndarray
) -> None:
    probabilities = load_exported(root / int8_file(MODEL)).predictor()(pixels)

    assert probabilities.dtype == np.float32
    assert np.abs(probabilities - keras_probabilities).mean() < 0.03
    assert (probabilities.argmax(axis=1) == keras_probabilities.argmax(axis=1)).mean() > 0.85


def test_the_int8_file_takes_plain_pixels_and_computes_in_integers_alone(root: Path) -> None:
    flat_buffer = (root / int8_file(MODEL)).read_bytes()

    interpreter = make_interpreter(flat_buffer)

    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (source["dtype"], source["quantization"]) == (np.uint8, (1.0, 0))
    assert (target["dtype"], target["quantization"]) == (np.uint8, (1 / 256, 0))
    assert is_integer_only(flat_buffer)


def test_the_float_file_is_told_from_an_integer_one(root: Path) -> None:
    assert not is_integer_only((root / float_file(MODEL)).read_bytes())


@pytest.mark.parametrize("file", [float_file(MODEL), int8_file(MODEL)], ids=["float", "int8"])
def test_class_names_and_image_size_travel_in_the_file(root: Path, file: Path) -> None:
    with zipfile.ZipFile(root / file) as archive:
        labels = archive.read("labels.txt").decode()
        description = json.loads(archive.read("model.json"))
    exported = load_exported(root / file)

    assert labels == "glass\npaper, and card\nÜnrat\n"
    assert description["model"] == exported.name == MODEL
    assert (exported.class_names, exported.image_size) == (CLASSES, IMAGE_SIZE)
    assert "RGB pixels 0 to 255" in description["input"]
    assert ("uint8 / 256" in description["output"]) == (file == int8_file(MODEL))


@pytest.mark.parametrize("threads", [1, 2])
def test_photos_alone_and_together_get_the_same_answer(
    root: Path, pixels: np.ndarray, threads: int
) -> None:
    predict = load_exported(root / int8_file(MODEL)).predictor(threads)

    together = predict(pixels[:3])
    alone = [predict(photo[None])[0] for photo in pixels[:3]]

    np.testing.assert_array_equal(together, alone)
    assert predict(pixels[:0]).shape == (0, len(CLASSES))


def test_the_metrics_hold_the_files_against_keras(root: Path) -> None:
    metrics = json.loads((root / "metrics" / MODEL / "export.json").read_text())
    timing = json.loads((root / "metrics" / MODEL / "timing-export.json").read_text())
    answers = pd.read_csv(root / "metrics" / MODEL / "predictions-test.csv")

    right = (answers["label"] == answers["predicted"]).mean()
    assert metrics["keras"]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert metrics["float"]["agreement"] == 1
    assert metrics["float"]["accuracy"] == metrics["keras"]["accuracy"]
    assert metrics["int8"]["agreement"] > 0.8
    assert metrics["int8"]["integer_only"] is True
    assert metrics["int8"]["bytes"] == (root / int8_file(MODEL)).stat().st_size
    assert 3 * metrics["int8"]["bytes"] < metrics["float"]["bytes"]
    assert timing["milliseconds_per_image"]["int8"].keys() == {"threads_1", "threads_2"}


def test_the_files_are_held_against_keras_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `evaluate` wrote is, on a processor, LiteRT's answer."""
    again = shutil.copytree(root, tmp_path / "again")
    written = again / "metrics" / MODEL / "predictions-test.csv"
    pd.read_csv(written).assign(predicted=CLASSES[0]).to_csv(written, index=False)
    monkeypatch.chdir(again)

    export.main(MODEL)

    results = Path("metrics") / MODEL / "export.json"
    assert (again / results).read_bytes() == (root / results).read_bytes()


def test_exporting_again_gives_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [float_file(MODEL), int8_file(MODEL), Path("metrics") / MODEL / "export.json"]
    again = shutil.copytree(root, tmp_path / "again")
    for file in results:
        (again / file).unlink()
    monkeypatch.chdir(again)

    export.main(MODEL)

    for file in results:
        assert (again / file).read_bytes() == (root / file).read_bytes(), file


def test_calibration_takes_training_photos_alone_and_of_every_class(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(export, "CALIBRATION_PHOTOS", 12)

    chosen = export.calibration_photos(read_splits())

    assert set(chosen["split"]) == {"train"}
    assert chosen["label"].value_counts().to_dict() == dict.fromkeys(CLASSES, 4)
    assert chosen["path"].is_unique
    assert chosen["path"].str[-6:-4].tolist() == ["00", "02", "04", "07"] * 3


def test_a_small_class_gives_all_its_photos_to_calibration() -> None:
    labels = ["glass"] * 500 + ["trash"] * 3
    splits = pd.DataFrame({"path": range(503), "label": labels, "split": "train"})

    chosen = export.calibration_photos(splits)

    assert chosen["label"].value_counts().to_dict() == {
        "glass": export.CALIBRATION_PHOTOS // 2,
        "trash": 3,
    }


class Reached(Exception):  # noqa: N818
    """Ends the stage where a test has seen enough."""


def test_the_stage_calibrates_on_training_photos_alone(
    root: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []

    def spy(flat_buffer: bytes, photos: np.ndarray) -> bytes:
        shown.append(photos)
        raise Reached

    monkeypatch.setattr(export, "quantize", spy)
    monkeypatch.chdir(root)

    with pytest.raises(Reached):
        export.main(MODEL)

    np.testing.assert_array_equal(shown[0], pixels[read_splits()["split"] == "train"])
