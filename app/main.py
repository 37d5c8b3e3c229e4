"""The app: `streamlit run app/main.py` from the repository's root, after `dvc repro`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

# Streamlit puts the script's own folder on the path, not the one it was started in.
sys.path.insert(0, str(Path(__file__).parents[1]))

from app.answers import PhotoAnswer, ask, in_words
from trashnet.classifier import Classifier, classifier_file, load_classifier
from trashnet.errors import PipelineError
from trashnet.gradcam import heat_map, lay_over
from trashnet.metrics import SURE, read_predictions
from trashnet.prediction import compared_models

METRICS = Path("metrics")
MAX_PHOTOS = 50


def main() -> None:
    """Show the page."""
    st.set_page_config(page_title="What waste is this?", layout="centered")
    st.title("What waste is this?")
    try:
        comparison = read_comparison()
        model = choose_model(comparison)
        metrics = read_json(METRICS / f"{model}.json")
        asking, quality, mistakes = st.tabs(["Ask", "How good is it?", "Its mistakes"])
        with asking:
            show_asking(model, metrics["calibration"])
        with quality:
            show_quality(model, metrics, comparison)
        with mistakes:
            show_mistakes(model)
    except PipelineError as error:
        st.error(str(error))


def read_comparison() -> dict[str, Any]:
    """Read the comparison's models, the best on validation first."""
    compared_models()
    models: dict[str, Any] = read_json(Path("reports/comparison.json"))["models"]
    return models


def choose_model(comparison: dict[str, Any]) -> str:
    """Let the person pick one of the models that the comparison lists."""

    def label(model: str) -> str:
        row = comparison[model]
        low, high = row["test_accuracy_low"], row["test_accuracy_high"]
        return f"{model}: {row['test_accuracy']:.1%} of test photos right ({low:.0%} to {high:.0%})"

    return str(st.selectbox("Model, best on validation first", list(comparison), format_func=label))


def show_asking(model: str, calibration: dict[str, Any]) -> None:
    """Take photos and answer them."""
    classifier, predict = load(model, changed_at(classifier_file(model)))
    photos = st.file_uploader(
        "Photos (JPEG or PNG)", type=["jpg", "jpeg", "png"], accept_multiple_files=True
    )
    if st.toggle("Use the camera") and (taken := st.camera_input("Take a photo")):
        photos = [taken, *photos]
    if len(photos) > MAX_PHOTOS:
        st.warning(f"The first {MAX_PHOTOS} of {len(photos)} photos are answered; send fewer.")
    for photo in photos[:MAX_PHOTOS]:
        with st.container(border=True):
            try:
                answer = ask(
                    predict, classifier.image_size, calibration["temperature"], photo.getvalue()
                )
            except PipelineError as error:
                st.error(f"{photo.name}: {error}")
                continue
            show_answer(photo.name, answer, classifier, calibration["threshold"])
    st.caption(
        f'It says "not sure" below {calibration["threshold"]:.0%}: on validation, at least '
        f"{SURE:.0%} of the answers above were right. Photos stay in memory and are not kept."
    )


def show_answer(name: str, answer: PhotoAnswer, classifier: Classifier, threshold: float) -> None:
    """Show a photo with where the model looked, the answer in words and all classes as bars."""
    best = int(np.argmax(answer.confidence))
    left, right = st.columns(2)
    heat = heat_map(classifier, answer.pixels, best)
    left.image(lay_over(answer.photo, heat), caption=f"{name}; red: what spoke for the answer")
    right.subheader(in_words(answer.confidence, classifier.class_names, threshold))
    for number in np.argsort(-answer.confidence):
        share = float(answer.confidence[number])
        right.progress(share, text=f"{classifier.class_names[number]} {share:.1%}")


def show_quality(model: str, metrics: dict[str, Any], comparison: dict[str, Any]) -> None:
    """Show the model's figures from metrics/."""
    row, calibration = comparison[model], metrics["calibration"]
    columns = st.columns(3)
    columns[0].metric("Test accuracy", f"{row['test_accuracy']:.1%}")
    columns[1].metric(
        "95% interval", f"{row['test_accuracy_low']:.1%} to {row['test_accuracy_high']:.1%}"
    )
    columns[2].metric("Calibration error", f"{calibration['test']['ece_after']:.1%}")
    st.subheader("Confusion on the test photos")
    predictions = read_predictions(METRICS / model / "predictions-test.csv")
    st.dataframe(pd.crosstab(predictions["label"], predictions["predicted"]))
    st.caption("Rows: what it was. Columns: what the model said.")
    st.subheader("Learning curves")
    history = pd.read_csv(METRICS / model / "history.csv").set_index("epoch")
    st.line_chart(history[["accuracy", "val_accuracy"]], x_label="epoch", y_label="accuracy")
    st.line_chart(history[["loss", "val_loss"]], x_label="epoch", y_label="loss (nats)")


def show_mistakes(model: str) -> None:
    """Let the person walk through the test photos that the model gets wrong."""
    predictions = read_predictions(METRICS / model / "predictions-test.csv")
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    if wrong.empty:
        st.success(f"{model} has all {len(predictions)} test photos right.")
        return
    st.write(f"{len(wrong)} of {len(predictions)} test photos.")
    number = int(st.number_input("Mistake", 1, len(wrong), help="Arrow keys go on and back."))
    row = wrong.iloc[number - 1]
    st.subheader(f"{row['label']}, taken for {row['predicted']}")
    if Path(row["path"]).is_file():
        st.image(row["path"], caption=row["path"])
    else:
        st.info(f"{row['path']} is not here; `dvc pull` or `dvc repro prepare` brings it.")
    shares = row.filter(like="p_").astype(float).rename(lambda name: name.removeprefix("p_"))
    st.bar_chart(shares, horizontal=True, color="#2f6f4f", y_label="probability before calibration")


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def load(model: str, _changed: int) -> tuple[Classifier, Callable[[np.ndarray], np.ndarray]]:
    """Load a model once, and again after it was trained again."""
    classifier = load_classifier(classifier_file(model))
    return classifier, classifier.predictor()


def changed_at(path: Path) -> int:
    """Return when a file was last written, 0 where there is none; loading it says so."""
    return path.stat().st_mtime_ns if path.exists() else 0


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that the pipeline wrote."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise PipelineError(f"{path} is missing or damaged; run `dvc repro`.") from None
    return content


main()
