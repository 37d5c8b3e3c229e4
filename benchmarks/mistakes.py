"""What a trained model still gets wrong on the test photos, in Markdown and as a picture.

After `dvc repro` (or `dvc exp run`) in this folder:

    python -m benchmarks.mistakes MobileNetV2 --picture docs/mistakes.png
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks import run_benchmark
from trashnet.dataset import read_splits
from trashnet.files import atomic_file
from trashnet.images import load_pixels
from trashnet.metrics import read_predictions, wilson_interval

THUMBNAIL = (96, 128)
"""Height and width in pixels."""

COLUMNS = 8


def main() -> None:
    """Print accuracy, recall and confusions; draw the photos named wrongly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="whose metrics/<model>/predictions-test.csv to read")
    parser.add_argument("--picture", type=Path, help="where to draw the photos named wrongly")
    options = parser.parse_args()

    predictions = read_predictions(Path("metrics") / options.model / "predictions-test.csv")
    right = predictions["label"] == predictions["predicted"]
    twins = twins_of_training(read_splits())
    untwinned = ~predictions["path"].str.removeprefix("data/images/").isin(twins)
    print("| Test photos | Right | Accuracy [95%] |\n|---|---|---|")
    print(row("all", right))
    print(row("those without a near-duplicate in the lists of the other splits", right[untwinned]))
    print("\n| Class | Right | Recall [95%] |\n|---|---|---|")
    for label, of_class in right.groupby(predictions["label"]):
        print(row(str(label), of_class))
    wrong = predictions[~right].sort_values(["label", "predicted", "path"])
    print("\n| Shown | Named | Photos |\n|---|---|---|")
    for pair, photos in wrong.groupby(["label", "predicted"], sort=True):
        print(
            f"| {pair[0]} | {pair[1]} | {', '.join(Path(path).stem for path in photos['path'])} |"
        )
    if options.picture:
        with atomic_file(options.picture) as partial:
            draw(wrong).savefig(partial, format="png", dpi=80)


def twins_of_training(splits: pd.DataFrame) -> set[str]:
    """Return the test photos that the authors' lists twin with a photo of another split.

    `split` drops the other photo, so that these test photos are fair; they are
    named because others' figures include them with their twins in training.
    """
    twins = splits["reason"].str.startswith("Near-duplicate")  # not those that no list names
    dropped = set(splits.loc[twins, "group"])
    return set(splits.loc[(splits["split"] == "test") & splits["group"].isin(dropped), "path"])


def row(name: str, right: "pd.Series[bool]") -> str:
    """Return a line of a table on the share of photos that are right."""
    low, high = wilson_interval(int(right.sum()), len(right))
    return (
        f"| {name} | {right.sum()} of {len(right)} | {right.mean():.3f} [{low:.3f}, {high:.3f}] |"
    )


def draw(wrong: pd.DataFrame) -> Figure:
    """Show each photo of a predictions table with its class and the one it was named."""
    rows = max(1, -(-len(wrong) // COLUMNS))
    figure = Figure(figsize=(1.5 * COLUMNS, 1.55 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, photo in zip(axes, wrong.itertuples(), strict=False):
        axis.imshow(load_pixels(Path(str(photo.path)), THUMBNAIL))
        axis.set_title(f"{photo.label}: {photo.predicted}?", fontsize=8, parse_math=False)
    return figure


if __name__ == "__main__":
    run_benchmark(main)
