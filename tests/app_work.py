"""What the app's tests show it: photos of one colour and models that name the colour."""

import re
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from trashnet.classifier import Classifier, assemble, describe_saved, save_classifier
from trashnet.files import write_json
from trashnet.images import load_batches
from trashnet.metrics import predictions_table, write_predictions
from trashnet.networks import Network

APP = Path(__file__).parents[1] / "app" / "main.py"
CLASSES = ["blue_bin", "<green>", "red"]
IMAGE_SIZE = (12, 16)
CALIBRATION = {
    "temperature": 2.0,
    "threshold": 0.6,
    "test": {"ece_before": 0.04, "ece_after": 0.03, "sure": 5, "sure_and_right": 4},
}


def color_classifier(sharpness: float) -> Classifier:
    """Return a model, of a trunk, tail and head, that says which colour a photo mostly has."""
    pixels = keras.Input((*IMAGE_SIZE, 3))
    trunk = keras.Model(pixels, keras.layers.Rescaling(sharpness / 255)(pixels), name="trunk")
    activations = keras.Input((*IMAGE_SIZE, 3))
    tail = keras.Model(activations, keras.layers.ReLU()(activations), name="tail")
    pooled = keras.Input((3,))
    logits = keras.layers.Dense(3, use_bias=False)
    head = keras.Model(pooled, logits(pooled), name="head")
    logits.set_weights([np.eye(3)[::-1]])
    return Classifier(assemble(Network(trunk, tail), head), CLASSES)


def photo(color: str, size: tuple[int, int] = (40, 30)) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, color).save(content, "PNG")
    return content.getvalue()


def write_results(model: str, classifier: Classifier) -> None:
    """Write what `train` and `evaluate` write of a model, on the photos in data/images."""
    file = Path(f"models/{model}.keras")
    save_classifier(classifier, file)
    write_json(f"metrics/{model}.json", {"calibration": CALIBRATION})
    paths = sorted(Path("data/images").rglob("*.png"))
    (pixels,) = load_batches(paths, IMAGE_SIZE, 32)
    labels = [path.parent.name for path in paths]
    table = predictions_table(paths, labels, classifier.predictor()(pixels), CLASSES)
    Path("metrics", model).mkdir(exist_ok=True)
    write_predictions(f"metrics/{model}/predictions-test.csv", table)
    write_json(f"metrics/{model}/training.json", describe_saved(classifier, file))
    Path(f"metrics/{model}/history.csv").write_text(
        "epoch,phase,loss,accuracy,val_loss,val_accuracy\n"
        "1,initial,1.0,0.5,1.1,0.4\n2,initial,0.6,0.7,0.8,0.6\n3,fine_tune,0.4,0.8,0.6,0.7\n"
    )


def write_comparison() -> None:
    """Write photos and a comparison of two models; a third is left from an earlier run."""
    shown = {"blue_bin": ["blue", "teal"], "<green>": ["lime"], "red": ["red", "navy", "maroon"]}
    for label, colors in shown.items():
        Path("data/images", label).mkdir(parents=True)
        for color in colors:
            Path("data/images", label, f"{color}.png").write_bytes(photo(color))
    for model, sharpness in {"MobileNetV2": 10, "MobileNet": 4, "ResNet101V2": 1}.items():
        write_results(model, color_classifier(sharpness))
    write_json("reports/comparison.json", {"models": {"MobileNetV2": {}, "MobileNet": {}}})


def run_app(tab: str = "Ask") -> AppTest:
    st.cache_resource.clear()
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["tab"] = tab
    return app.run()


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    app.file_uploader[0].upload(name, content, "image/png")
    return app.run()


def errors(app: AppTest) -> list[str]:
    """Return the sentences as people read them, after looking for stack traces."""
    assert not app.exception
    return [re.sub(r"\\(.)", r"\1", error.value) for error in app.error]
