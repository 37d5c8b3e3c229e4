"""Datasets as people have them: few classes or many, lopsided, with names that need care."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from params_work import write_params
from PIL import Image

from stages import augment, prepare, split
from trashnet.class_weights import class_weights
from trashnet.comparison_plot import draw_comparison
from trashnet.dataset import RAW, class_names, read_manifest, read_splits
from trashnet.errors import PipelineError
from trashnet.metrics import predictions_table, read_predictions, write_predictions

ODD_NAMES = [
    "glass, brown",
    'the "rest"',
    "it's paper",
    "Ünrat 垃圾",
    "a|b",
    "100%",
    "-S x=1",
    "=1+1",
    "null",
    "NA",
    "1.0",
    "p_glass",
    r"$\bad$",
    "a..b",
]


@pytest.fixture(autouse=True)
def empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({"split.test": 0.25, "split.val": 0.25})


def put_photos(label: str, count: int, first: int = 0) -> None:
    """Draw photos of a class, each another picture by its number."""
    (RAW / label).mkdir(parents=True)
    for number in range(first, first + count):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(noise).resize((32, 24)).save(file, "PNG")
        (RAW / label / f"{number}.png").write_bytes(file.getvalue())


def splits() -> pd.DataFrame:
    prepare.main()
    split.main()
    return read_splits()


def test_names_that_need_care_go_through_every_table() -> None:
    for position, name in enumerate(ODD_NAMES):
        put_photos(name, 8, first=8 * position)

    photos = splits()

    assert class_names(photos) == sorted(ODD_NAMES)
    assert set(read_manifest()["label"]) == set(ODD_NAMES)
    probabilities = np.eye(len(ODD_NAMES))
    files = [Path("data/images", name, "1.png") for name in sorted(ODD_NAMES)]
    table = predictions_table(files, sorted(ODD_NAMES), probabilities, sorted(ODD_NAMES))
    write_predictions("predictions.csv", table)
    again = read_predictions("predictions.csv")
    assert again["label"].tolist() == again["predicted"].tolist() == sorted(ODD_NAMES)
    assert list(again.columns[3:]) == [f"p_{name}" for name in sorted(ODD_NAMES)]


def test_names_that_matplotlib_takes_for_mathematics_are_drawn() -> None:
    for position, name in enumerate([r"$\bad$", "$x_1$ and $y"]):
        put_photos(name, 8, first=8 * position)
    prepare.main()

    augment.main()

    assert Path("reports/augmented-views.png").is_file()
    columns = ["Test Accuracy", "Test Accuracy Low", "Test Accuracy High", "Best Val Accuracy"]
    comparison = pd.DataFrame({"Model": ["MobileNet"], **dict.fromkeys(columns, 0.5)})
    recall = pd.DataFrame({r"$\bad$": [0.5], "$x_1$ and $y": [1.0]})
    draw_comparison(Path("comparison.png"), r"$\bad$, split official", comparison, recall)
    assert Path("comparison.png").is_file()


def test_long_names_leave_room_for_the_picture(recwarn: pytest.WarningsRecorder) -> None:
    """Matplotlib warns where labels take all of it."""
    columns = ["Test Accuracy", "Test Accuracy Low", "Test Accuracy High", "Best Val Accuracy"]
    comparison = pd.DataFrame({"Model": ["MobileNet"], **dict.fromkeys(columns, 0.5)})
    recall = pd.DataFrame({"Verpackungen aus Kunststoff, Metall und Verbundstoffen": [0.5], "b": 1})

    draw_comparison(Path("comparison.png"), "mine", comparison, recall)

    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("classes", [2, 100])
def test_two_classes_or_a_hundred(classes: int) -> None:
    for position in range(classes):
        put_photos(f"class {position}", 6, first=6 * position)

    counts = splits().groupby(["label", "split"]).size().unstack()

    assert counts.shape == (classes, 3)
    assert counts.min().min() >= 1


def test_one_class_is_not_enough() -> None:
    put_photos("glass", 6)

    with pytest.raises(PipelineError, match=r"fewer than two classes \(glass 6\)"):
        prepare.main()


def test_class_of_one_photo_is_named() -> None:
    put_photos("glass", 8)
    put_photos("paper", 1, first=8)

    with pytest.raises(PipelineError, match="The class paper needs a photo in each split"):
        splits()


def test_class_of_near_duplicates_alone_is_told_that_they_stay_together() -> None:
    put_photos("glass", 8)
    put_photos("paper", 1, first=8)
    for width in (36, 40, 44):
        Image.open(RAW / "paper/8.png").resize((width, 24)).save(RAW / f"paper/{width}.png")

    with pytest.raises(PipelineError, match=r"class paper .* which stay together: 1\); add other"):
        splits()


@pytest.mark.slow
def test_class_a_thousand_times_another() -> None:
    put_photos("glass", 6000)
    put_photos("paper", 6, first=6000)

    photos = splits()

    counts = photos.groupby(["label", "split"]).size().unstack()
    assert counts.loc["paper"].min() >= 1
    train = photos.loc[photos["split"] == "train", "label"]
    weights = class_weights(train, alpha=1)
    shares = train.value_counts()
    assert weights["paper"] * shares["paper"] == pytest.approx(weights["glass"] * shares["glass"])
