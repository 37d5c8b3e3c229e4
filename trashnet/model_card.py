"""The model card: what the best model is and how far to trust it, from the run's own files."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trashnet.dataset import MANIFEST, SPLIT_NAMES, SPLITS, hash_content
from trashnet.metrics import wilson_interval
from trashnet.params import Dataset, Params, public_address

CONFUSIONS_SHOWN = 8


class Subject(NamedTuple):
    """The model that a card is about.

    Attributes
    ----------
    name : str
        The backbone's name.
    metrics : dict
        The content of metrics/<Model>.json.
    training : dict
        The content of metrics/<Model>/training.json.
    predictions : DataFrame
        Of the test split, from `trashnet.metrics.read_predictions`.
    rivals : int
        How many other models it was compared with.
    """

    name: str
    metrics: dict[str, Any]
    training: dict[str, Any]
    predictions: pd.DataFrame
    rivals: int


def write_card(
    subject: Subject, params: Params, counts: dict[str, Any], manifest: pd.DataFrame
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    subject : Subject
        The model.
    params : Params
        What it was trained with.
    counts : dict
        The content of metrics/split.json.
    manifest : DataFrame
        From `trashnet.dataset.read_manifest`.
    """
    sections = [
        _what_it_is(subject, params),
        _data(params, counts, manifest),
        _scores(subject),
        _confidence(subject),
        _confusions(subject.predictions),
        _limits(subject.predictions, params, manifest),
        _licences(params.dataset, params.data),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _what_it_is(subject: Subject, params: Params) -> list[str]:
    height, width = params.data.image_size
    classes = [_plain(name) for name in sorted(subject.metrics["test"]["recall"])]
    chosen = (
        f"It is the best on validation of the {subject.rivals + 1} models compared."
        if subject.rivals
        else "It is the only model that was trained."
    )
    return [
        f"# Model card: {subject.name} on {params.dataset}",
        "",
        "Written by `dvc repro` from the files of the run; change params.yaml, not this page.",
        "",
        "## What it is",
        "",
        f"A classifier of photos into {len(classes)} classes: {', '.join(classes)}. {chosen}",
        "",
        *_table(
            ["", ""],
            [
                ["File", subject.training["files"][0]["path"]],
                ["SHA-256 of the file", subject.training["files"][0]["sha256"]],
                *_origin(subject),
                ["Parameters", f"{subject.metrics['model']['parameters']:,}"],
                ["Takes", f"RGB pixels in [0, 255], {height} pixels high and {width} wide"],
                ["Gives", "a probability for each class"],
                ["Training seed", str(params.seed)],
                ["Class weights' alpha", str(params.alpha)],
            ],
        ),
    ]


def _origin(subject: Subject) -> list[list[str]]:
    if members := subject.training.get("members"):
        return [["Answers with", f"the mean of {' and '.join(members)}"]]
    kept = subject.training["kept"]
    return [
        ["Backbone", f"keras.applications.{subject.name}"],
        ["Kept from", f"epoch {kept['epoch']} of phase {kept['phase']}"],
    ]


def _data(params: Params, counts: dict[str, Any], manifest: pd.DataFrame) -> list[str]:
    rows = [
        [_plain(label), *(str(of_class[split]) for split in SPLIT_NAMES)]
        for label, of_class in counts["classes"].items()
    ]
    rows.append(["all", *(str(counts["photos"][split]) for split in SPLIT_NAMES)])
    left_out = (manifest["status"] != "ok").sum() + counts["photos"]["dropped"]
    of_files = dict(zip(manifest["path"], manifest["sha256"], strict=True))
    return [
        "## What it was trained and tested on",
        "",
        f"Dataset {params.dataset} from {' or '.join(map(public_address, params.data.urls))}, "
        f"split by method {counts['method']}. Photos of each class:",
        "",
        *_table(["Class", *SPLIT_NAMES], rows),
        "",
        f"Left out of {len(manifest)} files: {left_out}, for the reasons in {MANIFEST} and "
        f"{SPLITS}. Near-duplicates never stand in two splits.",
        "",
        *_table(
            ["SHA-256", ""],
            [
                ["All files (`content_sha256`)", hash_content(of_files)],
                [str(MANIFEST), _sha256(MANIFEST)],
                [str(SPLITS), _sha256(SPLITS)],
            ],
        ),
    ]


def _scores(subject: Subject) -> list[str]:
    test, val = subject.metrics["test"], subject.metrics["val"]
    right = subject.predictions["label"] == subject.predictions["predicted"]
    by_class = right.groupby(subject.predictions["label"])
    return [
        "## How often it is right",
        "",
        *_table(
            ["", "test", "validation"],
            [
                ["Accuracy", _share(int(right.sum()), len(right)), f"{val['accuracy']:.3f}"],
                ["Macro F1", f"{test['macro_f1']:.3f}", f"{val['macro_f1']:.3f}"],
                ["Loss, nats", f"{test['loss']:.3f}", f"{val['loss']:.3f}"],
            ],
        ),
        "",
        "Recall, the share of a class's test photos that it names so:",
        "",
        *_table(
            ["Class", "Test photos", "Recall"],
            [
                [_plain(label), str(len(of_class)), _share(int(of_class.sum()), len(of_class))]
                for label, of_class in by_class
            ],
        ),
        "",
        "In brackets the 95% Wilson interval: how far the draw of the test photos may have moved",
        "the figure. The test split chose neither the model nor anything about it.",
    ]


def _confidence(subject: Subject) -> list[str]:
    calibration = subject.metrics["calibration"]
    return [
        "## How far to trust its probabilities",
        "",
        f"Divide the logarithms of its probabilities by the temperature "
        f"{calibration['temperature']:.3f}, fitted on validation, and take the softmax. "
        "The expected calibration error on test is "
        f"{calibration['test']['ece_before']:.3f} before that and "
        f"{calibration['test']['ece_after']:.3f} after it.",
        "",
        _tell_threshold(calibration, len(subject.predictions)),
    ]


def _tell_threshold(calibration: dict[str, Any], photos: int) -> str:
    sure, right = calibration["test"]["sure"], calibration["test"]["sure_and_right"]
    told = (
        f"Below the probability {calibration['threshold']:.3f} after that, chosen on validation, "
        f'the app says "not sure": on {photos - sure} of {photos} test photos.'
    )
    return f"{told} Of the {sure} others {_share(right, sure)} are right." if sure else told


def _confusions(predictions: pd.DataFrame) -> list[str]:
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    photos = predictions["label"].value_counts()
    pairs = wrong.groupby(["label", "predicted"]).size().rename("mistakes").reset_index()
    pairs = pairs.sort_values(["mistakes", "label", "predicted"], ascending=[False, True, True])
    lines = ["## What it confuses", ""]
    if pairs.empty:
        return [*lines, "No test photo was named wrongly."]
    return [
        *lines,
        "The most frequent mistakes on the test photos:",
        "",
        *_table(
            ["Shown", "Named", "Photos"],
            [
                [
                    _plain(row.label),
                    _plain(row.predicted),
                    f"{row.mistakes} of {photos[row.label]}",
                ]
                for row in pairs.head(CONFUSIONS_SHOWN).itertuples(index=False)
            ],
        ),
    ]


def _limits(predictions: pd.DataFrame, params: Params, manifest: pd.DataFrame) -> list[str]:
    read = manifest[manifest["status"] == "ok"]
    sizes = f"{_extent(read['width'])} pixels wide and {_extent(read['height'])} high"
    return [
        "## What it was not tried on",
        "",
        "- Anything but its classes: whatever a photo shows, it names one of them.",
        f"- Photos from elsewhere. All {len(predictions)} test photos come from {params.dataset} "
        f"({sizes}), as the training photos do; other cameras, light, backgrounds and makes of "
        "waste need a test on photos of their own.",
        "- Photos of several things: each photo of the dataset has one label.",
        f"- Another training seed than {params.seed}, which would move every figure here.",
    ]


def _extent(pixels: "pd.Series[int]") -> str:
    low, high = pixels.min(), pixels.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _licences(name: str, dataset: Dataset) -> list[str]:
    photos = dataset.license or f"not stated in params.yaml (datasets.{name}.license)"
    match dataset.pretrained:
        case "none":
            weights = "none were used; training started from random weights"
        case "imagenet":
            weights = (
                "those of keras.applications (https://keras.io/api/applications/), trained on "
                "ImageNet (https://image-net.org/download)"
            )
        case folder:
            weights = f"whatever holds for the files in {public_address(folder)}"
    return ["## Licences", "", f"- Photos: {photos}.", f"- Pretrained weights: {weights}."]


def _share(correct: int, total: int) -> str:
    low, high = wilson_interval(correct, total)
    return f"{correct / total:.3f} [{low:.3f}, {high:.3f}]"


def _plain(name: str) -> str:
    """Escape what Markdown would take for its own: a class may be called ``<b>`` or ``a_b_c``."""
    return re.sub(r"([\\`*_\[\]<>&$~])", r"\\\1", name)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] * len(header)
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        for cells in (header, rule, *rows)
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
