"""The real graph on the built-in sample: what runs, what is skipped, what comes out."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from trashnet.metrics import read_predictions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MODELS = ["MobileNetV2", "MobileNetV3Small"]
SMALL = [
    "augment.views=1",
    "initial.epochs=2",
    "fine_tune.epochs=1",
    f"models=[{','.join(MODELS)}]",
]
ABOVE_TRAIN = {"download", "prepare", "split", "augment", "pretrained", "features"}


class Clone:
    """A copy of the working tree in a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = self._output(["git", "ls-files", "-co", "--exclude-standard"], ROOT).splitlines()
        for file in files:
            if (ROOT / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["commit", "-qm", "A clone to try things in"],
        ):
            self._output(["git", *command], folder)

    def dvc(self, *arguments: str) -> str:
        """Run DVC in the clone and return what it printed."""
        return self._output([sys.executable, "-m", "dvc", *arguments], self.folder)

    def experiment(self, name: str, *settings: str) -> str:
        """Run one experiment on top of the small settings."""
        flags = [flag for setting in (*SMALL, *settings) for flag in ("-S", setting)]
        return self.dvc("exp", "run", "-n", name, *flags)

    @staticmethod
    def _output(command: list[str], folder: Path) -> str:
        identity = {
            f"GIT_{who}_{what}": "test@example.org" if what == "EMAIL" else "test"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | identity | {"PATH": path, "CI": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def stages_run(output: str) -> set[str]:
    """Return the names of the stages that DVC says it ran, without their model."""
    return set(re.findall(r"Running stage '([a-z]+)", output))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("a clone with späces")
    clone = Clone(folder)
    clone.experiment("base")
    yield clone
    shutil.rmtree(folder, ignore_errors=True)


def test_the_graph_ends_in_a_comparison_of_the_models(clone: Clone) -> None:
    comparison = pd.read_csv(clone.folder / "reports/comparison.csv")
    assert sorted(comparison["Model"]) == MODELS


def test_metrics_hold_what_others_build_on(clone: Clone) -> None:
    metrics = json.loads((clone.folder / "metrics/MobileNetV2.json").read_text())
    assert {"accuracy", "loss", "macro_f1", "recall"} <= metrics["test"].keys()
    assert "trash" in metrics["test"]["recall"]
    assert "best_accuracy" in metrics["val"]
    assert "final_accuracy" in metrics["train"]
    assert metrics["epochs"] == {"initial": 2, "fine_tune": 1}
    assert metrics["model"]["parameters"] > 2_000_000


def test_every_test_photo_is_predicted_once(clone: Clone) -> None:
    splits = pd.read_csv(clone.folder / "data/splits.csv", keep_default_na=False)
    expected = "data/images/" + splits.loc[splits["split"] == "test", "path"]
    predictions = read_predictions(clone.folder / "metrics/MobileNetV2/predictions-test.csv")
    assert predictions["path"].tolist() == expected.tolist()


def test_cached_features_and_image_files_agree(clone: Clone) -> None:
    """The kept epoch's validation accuracy, from float16 features, is evaluate's from files."""
    for model in MODELS:
        metrics = json.loads((clone.folder / f"metrics/{model}.json").read_text())
        photos = len(read_predictions(clone.folder / f"metrics/{model}/predictions-val.csv"))
        difference = abs(metrics["val"]["best_accuracy"] - metrics["val"]["accuracy"])
        assert difference * photos < 1.5  # rounding may tip a photo on the border


def test_a_second_run_skips_every_stage(clone: Clone) -> None:
    assert "Data and pipelines are up to date" in clone.dvc("repro")


def test_alpha_reruns_only_training_and_what_follows(clone: Clone) -> None:
    output = clone.experiment("a05", "alpha=0.5")
    assert stages_run(output) == {"train", "evaluate", "compare"}
    skipped = set(re.findall(r"Stage '([a-z]+)(?:@\w+)?' didn't change, skipping", output))
    assert skipped == ABOVE_TRAIN


def test_metrics_diff_shows_both_models(clone: Clone) -> None:
    difference = clone.dvc("metrics", "diff", "base", "a05", "--md")
    for model in MODELS:
        assert f"metrics/{model}.json" in difference


def test_the_same_experiment_gives_the_same_bytes(clone: Clone) -> None:
    before = outcome(clone.folder)
    clone.dvc(
        "repro",
        "-f",
        "-s",
        *(f"{stage}@{model}" for stage in ("train", "evaluate") for model in MODELS),
    )
    assert outcome(clone.folder) == before


def test_another_training_seed_gives_another_model(clone: Clone) -> None:
    before = outcome(clone.folder)
    output = clone.experiment("seed2", "alpha=0.5", "seed=2")
    assert stages_run(output) == {"train", "evaluate", "compare"}
    after = outcome(clone.folder)
    assert all(after[file] != before[file] for file in before if file.endswith(".keras"))


def test_another_split_seed_keeps_the_features(clone: Clone) -> None:
    output = clone.experiment("split2", "split.seed=2")
    assert stages_run(output) == {"split", "train", "evaluate", "compare"}


def test_fewer_models_compare_fewer(clone: Clone) -> None:
    clone.experiment("one", "split.seed=2", "models=[MobileNetV2]")
    comparison = pd.read_csv(clone.folder / "reports/comparison.csv")
    assert comparison["Model"].tolist() == ["MobileNetV2"]


def test_the_models_chosen_are_exported(clone: Clone) -> None:
    output = clone.experiment(
        "phone", "split.seed=2", "models=[MobileNetV2]", "export=[MobileNetV2]"
    )
    assert stages_run(output) == {"export", "compare"}
    export = json.loads((clone.folder / "metrics/MobileNetV2/export.json").read_text())
    assert export["float"]["agreement"] == 1
    assert (
        export["int8"]["bytes"] == (clone.folder / "models/MobileNetV2-int8.tflite").stat().st_size
    )


def test_plots_and_experiments_can_be_shown(clone: Clone) -> None:
    clone.dvc("plots", "show")
    page = (clone.folder / "dvc_plots/index.html").read_text()
    for plot in ("history.csv", "predictions-test.csv", "augmented-views.png", "comparison.png"):
        assert plot in page
    assert "a05" in clone.dvc("exp", "show", "--csv")


def outcome(folder: Path) -> dict[str, bytes]:
    """Return the contents of all that must repeat byte for byte: models and metrics, not times."""
    files = [*folder.glob("models/*.keras"), *folder.glob("metrics/**/*.*")]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if "timing" not in file.name
    }
