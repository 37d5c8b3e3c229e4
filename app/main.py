"""The app: `streamlit run app/main.py` from the repository's root, after `dvc repro`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from starlette.formparsers import MultiPartParser

# Streamlit puts the script's own folder on the path, not the one above.
root = str(Path(__file__).parents[1])
if root not in sys.path:
    sys.path.insert(0, root)

from app.answers import PhotoAnswer, in_words, percent, rule_in_words
from app.markup import STYLE, bars, confusion_table, plain
from app.models import MAX_PHOTOS, answer_photo, class_names, heat_photo, naming_photo
from app.results import (
    confusion,
    mistakes,
    read_calibration,
    read_history,
    read_members,
    read_test_predictions,
    score,
)
from trashnet.errors import PipelineError
from trashnet.images import ImageError
from trashnet.prediction import PHOTO_SUFFIXES, compared_models


def main() -> None:
    """Show the page."""
    st.set_page_config(page_title="What waste is this?", layout="centered")
    keep_uploads_in_memory()
    st.html(STYLE)
    st.title("What waste is this?")
    with telling_errors():
        show_tabs(choose_model(compared_models()))


def show_tabs(model: str) -> None:
    """Show the open tab."""
    asking, quality, mistaken = st.tabs(
        ["Ask", "How good is it?", "Its mistakes"], key="tab", bind="query-params"
    )
    with asking, telling_errors():
        # Always on the page, because Streamlit forgets the photos of an uploader that is not.
        photos = take_photos()
        if asking.open:
            show_answers(model, photos)
    with quality, telling_errors():
        if quality.open:
            show_quality(model)
    with mistaken, telling_errors():
        if mistaken.open:
            show_mistakes(model)


def keep_uploads_in_memory() -> None:
    """Let no photo touch the disk: beyond 1 MB the web server would use a nameless file."""
    MultiPartParser.spool_max_size = st.get_option("server.maxUploadSize") * 2**20


@contextmanager
def telling_errors() -> Iterator[None]:
    """Put the sentence that says what is missing where the rest of the page would be."""
    try:
        yield
    except PipelineError as error:
        st.error(plain(str(error)))


def choose_model(models: list[str]) -> str:
    """Let the person pick one of the models that the comparison lists."""

    def label(model: str) -> str:
        try:
            share, low, high = score(read_test_predictions(model))
        except PipelineError:  # the tabs say what is missing
            return model
        return f"{model}: {share:.1%} right [{100 * low:.0f} to {high:.0%}]"

    return st.selectbox(
        "Model",
        models,
        format_func=label,
        key="model",  # else the choice is lost with every label that an evaluation changes
        help="The best on validation first. In brackets the 95% interval of the share of test "
        "photos that the model has right.",
    )


def take_photos() -> list[Any]:
    """Take photos from files and from the camera."""
    photos = st.file_uploader(
        "Photos (JPEG or PNG)",
        type=[suffix.removeprefix(".") for suffix in sorted(PHOTO_SUFFIXES)],
        accept_multiple_files=True,
    )
    if st.toggle("Use the camera") and (taken := st.camera_input("Take a photo")):
        photos = [taken, *photos]
    return photos


def show_answers(model: str, photos: list[Any]) -> None:
    """Answer each photo, or say why it cannot be read."""
    calibration = read_calibration(model)
    names = class_names(model)  # loads the model while the person looks for a photo
    if len(photos) > MAX_PHOTOS:
        st.warning(f"The first {MAX_PHOTOS} of {len(photos)} photos are answered; send fewer.")
    for photo in photos[:MAX_PHOTOS]:
        try:
            answer = answer_photo(model, photo.getvalue(), calibration.temperature)
        except ImageError as error:
            st.error(plain(f"{photo.name}: {error}"))
        else:
            with st.container(border=True):
                show_answer(model, names, photo, answer, calibration.threshold)
    st.caption(
        f"{rule_in_words(calibration.threshold)} It knows {plain(', '.join(names))} and nothing "
        "else: whatever a photo shows gets one of these names. Photos stay in memory and are not "
        "kept."
    )


def show_answer(
    model: str, names: list[str], photo: Any, answer: PhotoAnswer, threshold: float
) -> None:
    """Show the answer in words, all classes as bars, and where in the photo the model saw it."""
    best = names[int(np.argmax(answer.confidence))]
    # On a phone the columns stand one below the other: first the answer.
    left, right = st.columns(2, gap="medium")
    left.subheader(plain(in_words(answer.confidence, names, threshold)))
    left.html(bars(names, answer.confidence))
    uncorrected = percent(float(answer.probabilities.max()))
    left.caption(plain(f"The model's own figure, before it is corrected: {best} {uncorrected}."))
    right.image(
        heat_photo(model, photo.getvalue(), answer, best),
        caption=plain(f"{photo.name}. Orange: what speaks for {best}."),
        alt=f"{photo.name}, orange where the model saw {best}",
        width="stretch",
    )


def show_quality(model: str) -> None:
    """Show how good the model is on photos that it never saw."""
    calibration = read_calibration(model)
    predictions = read_test_predictions(model)
    share, low, high = score(predictions)
    with st.container(horizontal=True, gap="large"):
        st.metric("Test photos right", f"{share:.1%}", width="content")
        st.metric(
            "Calibration error",
            f"{calibration.error_after:.1%}",
            help="How far confidence is from accuracy on the test photos, on average (expected "
            f"calibration error, 15 bins); {calibration.error_before:.1%} before calibration.",
            width="content",
        )
    st.caption(
        f"Right on {100 * low:.1f} to {high:.1%} of photos like the "
        f"{len(predictions)} test photos (95% interval)."
    )
    st.subheader("What it takes for what")
    st.html(confusion_table(confusion(predictions)))
    st.caption("Rows: what the test photos show. Columns: the answer.")
    st.subheader("How it learned")
    members = read_members(model)
    if members:
        st.write(f"It answers with the mean of {' and '.join(members)}, which learned so:")
    for learner in members or [model]:
        show_learning_curves(learner)


def show_learning_curves(model: str) -> None:
    """Show what a model reached in each epoch."""
    history = read_history(model)
    for quantity, unit in {"accuracy": "accuracy", "loss": "loss (nats)"}.items():
        st.line_chart(
            history[[f"training {quantity}", f"validation {quantity}"]],
            x_label="epoch",
            y_label=unit,
            color=["#b4532a", "#2f6f4f"],
            height=240,
            alt=f"{quantity} of {model} by epoch, in training and on validation",
        )


def show_mistakes(model: str) -> None:
    """Let the person walk through the test photos that the model gets wrong."""
    predictions = read_test_predictions(model)
    wrong = mistakes(predictions)
    if wrong.empty:
        st.success(f"{model} has all {len(predictions)} test photos right.")
        return
    st.write(f"{len(wrong)} of {len(predictions)} test photos, the surest mistake first.")
    number = st.pagination(len(wrong), key=f"mistake of {model}")
    mistake = wrong.iloc[number - 1]
    path, label, predicted = Path(mistake["path"]), mistake["label"], mistake["predicted"]
    if not path.is_file():
        raise PipelineError(f"{path} is not here; `dvc pull` or `dvc repro prepare` brings it.")

    st.subheader(plain(f"This is {label}, taken for {predicted}."))
    content = path.read_bytes()
    with naming_photo(path):
        answer = answer_photo(model, content, read_calibration(model).temperature)
    photo, for_answer, for_label = st.columns(3)
    photo.image(answer.photo, caption=plain(path.name), alt=path.name, width="stretch")
    for column, name in ((for_answer, predicted), (for_label, label)):
        column.image(
            heat_photo(model, content, answer, name),
            caption=plain(f"Orange: what speaks for {name}."),
            alt=f"the same photo, orange where the model saw {name}",
            width="stretch",
        )
    st.html(bars(class_names(model), answer.confidence))


main()
