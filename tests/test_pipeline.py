"""The real graph on the built-in sample: what runs, what is skipped, what comes out."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clone_work import MODELS, Clone, outcome, stages_run

from trashnet.classifier import load_classifier
from trashnet.images import load_pixels
from trashnet.metrics import read_predictions

pytestmark = pytest.mark.slow

ABOVE_TRAIN = {"download", "prepare", "split", "augment", "pretrained", "features"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("a clone with späces")
    clone = Clone.of_working_tree(folder)
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


def photos_evaluated_otherwise(clone: Clone, model: str) -> float:
    metrics = json.loads((clone.folder / f"metrics/{model}.json").read_text())
    photos = len(read_predictions(clone.folder / f"metrics/{model}/predictions-val.csv"))
    difference: float = abs(metrics["val"]["best_accuracy"] - metrics["val"]["accuracy"])
    return difference * photos


def test_cached_features_and_image_files_agree(clone: Clone) -> None:
    """The kept epoch's validation accuracy, from float16 features, is evaluate's from files."""
    for model in MODELS:
        assert photos_evaluated_otherwise(clone, model) < 1.5  # rounding may tip one on the border


def test_a_second_run_skips_every_stage(clone: Clone) -> None:
    assert "Data and pipelines are up to date" in clone.dvc("repro")


def test_views_and_features_take_their_room_on_the_disk_once(clone: Clone) -> None:
    files = (clone.folder / "data").rglob("*.npy")
    assert {file.stat().st_nlink for file in files} == {2}  # the other name is in DVC's cache


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


def test_settings_of_before_are_not_trained_again(clone: Clone) -> None:
    output = clone.experiment("back", "alpha=0.5", "seed=1")
    assert stages_run(output) == {"compare"}
    taken = set(re.findall(r"Stage '([a-z]+)@\w+' is cached - skipping run", output))
    assert taken == {"train", "evaluate"}


def test_another_split_seed_keeps_the_features(clone: Clone) -> None:
    output = clone.experiment("split2", "split.seed=2")
    assert stages_run(output) == {"split", "train", "evaluate", "compare"}


@pytest.fixture
def params_restored(clone: Clone) -> Iterator[None]:
    """Take back what an experiment adds to params.yaml and no later one overrides."""
    before = (clone.folder / "params.yaml").read_bytes()
    yield
    (clone.folder / "params.yaml").write_bytes(before)


@pytest.mark.usefixtures("params_restored")
def test_photos_of_before_can_be_brought_back_after_a_refused_dataset(clone: Clone) -> None:
    before = sorted((clone.folder / "data/raw").rglob("*"))
    settings = ["-S", "datasets.sample.url=nowhere", "--downstream", "download"]
    command = [sys.executable, "-m", "dvc", "exp", "run", *settings]

    refused = subprocess.run(
        command, cwd=clone.folder, env=clone.environment, capture_output=True, check=False
    )

    assert refused.returncode != 0
    clone.dvc("checkout", "data/raw")
    assert before
    assert sorted((clone.folder / "data/raw").rglob("*")) == before


@pytest.mark.usefixtures("params_restored")
def test_an_ensemble_is_compared_like_any_model(clone: Clone) -> None:
    output = clone.experiment("pair", f"+ensembles.Pair=[{','.join(MODELS)}]", "mirror_images=true")
    assert stages_run(output) == {"train", "evaluate", "ensemble", "compare"}
    comparison = pd.read_csv(clone.folder / "reports/comparison.csv")
    assert sorted(comparison["Model"]) == [*MODELS, "Pair"]
    one, other, pair = (
        read_predictions(clone.folder / f"metrics/{model}/predictions-test.csv")
        for model in (*MODELS, "Pair")
    )
    mean = (one.filter(regex="^p_") + other.filter(regex="^p_")) / 2
    pd.testing.assert_frame_equal(pair.filter(regex="^p_"), mean, atol=1e-5)


def test_a_model_that_looks_at_mirror_images_answers_them_alike(clone: Clone) -> None:
    predict = load_classifier(clone.folder / "models/MobileNetV2.keras").predictor()
    image = next((clone.folder / "data/images").rglob("*.jpg"))
    photo = load_pixels(image, [48, 64])[None]

    answers = [predict(np.ascontiguousarray(turned)) for turned in (photo, photo[:, :, ::-1])]

    assert not np.array_equal(photo, photo[:, :, ::-1])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_batch_norm_that_learned_is_in_the_model(clone: Clone) -> None:
    clone.experiment(
        "norm", "split.seed=2", "models=[MobileNetV2]", "initial.epochs=1", "fine_tune.epochs=8"
    )
    training = json.loads((clone.folder / "metrics/MobileNetV2/training.json").read_text())
    assert training["kept"]["phase"] == "fine_tune"
    assert photos_evaluated_otherwise(clone, "MobileNetV2") < 1.5


@pytest.mark.usefixtures("params_restored")
def test_fine_tuning_that_spoils_the_network_is_taken_back(clone: Clone) -> None:
    clone.experiment("spoilt", "split.seed=2", "models=[MobileNetV2]", "fine_tune.learning_rate=10")
    training = json.loads((clone.folder / "metrics/MobileNetV2/training.json").read_text())
    assert training["kept"]["phase"] == "initial"
    assert photos_evaluated_otherwise(clone, "MobileNetV2") < 1.5


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


@pytest.mark.usefixtures("put_object")  # serves the bucket
@pytest.mark.parametrize("remote", ["gs://photos/cache", "a folder"])
def test_another_clone_pulls_the_same_state(clone: Clone, remote: str, tmp_path: Path) -> None:
    url = remote if "://" in remote else str(tmp_path / remote)
    clone.dvc("remote", "add", "-d", "-f", "store", url)
    if "://" in remote:
        clone.dvc("remote", "modify", "store", "allow_anonymous_login", "true")
    clone.commit()
    clone.dvc("push")

    other = clone.clone_to(tmp_path / "other")
    other.dvc("pull")

    assert "Data and pipelines are up to date" in other.dvc("repro")
    assert outcome(other.folder) == outcome(clone.folder)


def test_another_folder_and_locale_give_the_same_bytes(clone: Clone, tmp_path: Path) -> None:
    clone.commit()
    other = clone.clone_to(tmp_path / "elsewhere")
    elsewhere = {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}

    output = other.run([sys.executable, "-m", "dvc", "repro"], elsewhere)

    # Evaluation is skipped: the model that it depends on has the same bytes.
    assert stages_run(output) >= ABOVE_TRAIN | {"train"}
    assert outcome(other.folder) == outcome(clone.folder)


def test_a_moved_clone_with_the_clock_set_back_has_nothing_to_do(clone: Clone) -> None:
    moved = clone.folder.with_name("moved")
    clone.folder.rename(moved)
    for file in moved.rglob("*"):
        os.utime(file, (0, 0), follow_symlinks=False)

    said = Clone(moved).dvc("repro")

    moved.rename(clone.folder)
    assert "Data and pipelines are up to date" in said


def test_a_second_repro_beside_the_first_is_told_so_and_spoils_nothing(clone: Clone) -> None:
    command = [sys.executable, "-m", "dvc", "repro", "-f", "-s", "evaluate@MobileNetV2"]
    before = outcome(clone.folder)
    first = subprocess.Popen(
        command, cwd=clone.folder, env=clone.environment, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    while "Running stage" not in first.stdout.readline():
        assert first.poll() is None

    second = subprocess.run(
        command,
        cwd=clone.folder,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )

    assert second.returncode != 0
    assert "busy" in second.stderr or "lock" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait() == 0
    assert outcome(clone.folder) == before
