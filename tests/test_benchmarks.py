"""What the benchmarks reckon from their measurements, and how a stage's usage reaches them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from study_work import commit_files, git

from benchmarks import run_benchmark
from benchmarks.arithmetic import bytes_of, operations_of
from benchmarks.cluster_scaling import Measured, simulate
from benchmarks.folds import pair_photos, table
from benchmarks.mistakes import draw, row, twins_of_training
from benchmarks.photo_speed import planted_hashes
from benchmarks.repeats import read_accuracies, text
from benchmarks.resolution import score
from benchmarks.runtimes import difference
from benchmarks.stage_times import COLUMNS, HOOK, Run
from benchmarks.startup import where_time_goes
from benchmarks.usual_way import SECONDS, PipelineRun, sweep_of_pipeline
from trashnet.errors import PipelineError

REPOSITORY = Path(__file__).parents[1]
COMMANDS = [
    path.stem
    for path in sorted((REPOSITORY / "benchmarks").glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
FIRST = ["download", "pretrained", "features", "train", "evaluate", "compare"]


def run_with_hook(folder: Path, program: str) -> Path:
    """Run an empty program; return the file in which the hook notes usage."""
    (folder / program).parent.mkdir(parents=True)
    (folder / program).write_text("")
    notes = folder / "notes.jsonl"
    environment = os.environ | {"PYTHONPATH": str(HOOK), "STAGE_TIMES": str(notes)}
    subprocess.run([sys.executable, program], cwd=folder, env=environment, check=True)
    return notes


def test_stage_notes_what_it_used(tmp_path: Path) -> None:
    notes = run_with_hook(tmp_path, "stages/split.py")

    usage = json.loads(notes.read_text())
    assert list(usage) == COLUMNS
    assert usage["stage"] == "split"


def test_other_programs_note_nothing(tmp_path: Path) -> None:
    assert not run_with_hook(tmp_path, "elsewhere/split.py").exists()


def test_parts_of_a_run_add_up_to_its_seconds() -> None:
    stages = pd.DataFrame(
        [["train", 20.0, 30.0, 2.0, 0, 0], ["train", 10.0, 12.0, 2.0, 0, 0]], columns=COLUMNS
    )

    table = where_time_goes(Run(stages, 40.0, 50.0), pd.Series({"train": 5.0}))

    parts = table.loc["in all", ["start-up", "arithmetic", "kernel", "DVC"]]
    assert parts.sum() == pytest.approx(40)


def test_sweep_repeats_only_what_depends_on_model_or_alpha() -> None:
    stages = pd.DataFrame({name: [10.0, 2, 30, 40, 5, 1] for name in SECONDS}, FIRST)
    first = PipelineRun(stages, stages.sum() + 4, 0.9)
    rerun = stages.loc[["train", "evaluate", "compare"]]
    second = PipelineRun(rerun, rerun.sum() + 3, 0.9)

    seconds = sweep_of_pipeline(first, second)

    download_and_dvc, of_model, of_alpha, of_both = 10 + 1, 2 + 30, 1 + 3, 40 + 5
    assert seconds["clock"] == download_and_dvc + 2 * of_model + 5 * of_alpha + 10 * of_both


def test_operations_are_those_of_the_convolutions() -> None:
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.DepthwiseConv2D(3)(keras.layers.Conv2D(8, 1)(pixels)))

    assert operations_of(model) == 2 * (4 * 4 * 8 * 3) + 2 * (2 * 2 * 8 * 9)


def test_bytes_are_those_of_inputs_outputs_and_weights() -> None:
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.ReLU()(keras.layers.Conv2D(8, 1)(pixels)))

    assert bytes_of(model) == 4 * (4 * 4 * 3 + 4 * 4 * 8 + 3 * 8 + 8)


def test_runtimes_are_compared_output_by_output() -> None:
    activations, pooled = np.full((2, 1, 1, 3), 4.0), np.ones((2, 5))

    assert difference([pooled, activations + 1], [activations, pooled]) == 1 / 4


def test_a_runtime_that_returns_another_layer_is_wrong() -> None:
    assert difference([np.ones((2, 3, 4, 5))], [np.ones((2, 3, 4, 6))]) == np.inf


def test_a_tenth_of_the_planted_hashes_has_a_near_duplicate() -> None:
    hashes = planted_hashes(100, bits=4)

    distances = [int(hashes[number] ^ hashes[-1 - number]).bit_count() for number in range(10)]
    assert distances == [4] * 10


def test_test_photos_with_a_dropped_twin_are_found() -> None:
    splits = pd.DataFrame(
        [
            ["paper/1.jpg", "paper/1.jpg", "test"],
            ["paper/2.jpg", "paper/1.jpg", "dropped"],
            ["paper/3.jpg", "paper/3.jpg", "test"],
            ["paper/4.jpg", "paper/4.jpg", "val"],
            ["paper/5.jpg", "paper/4.jpg", "dropped"],
        ],
        columns=["path", "group", "split"],
    )

    assert twins_of_training(splits) == {"paper/1.jpg"}


def test_share_of_right_photos_has_its_interval() -> None:
    right = pd.Series([True] * 8 + [False] * 2)

    assert row("paper", right) == "| paper | 8 of 10 | 0.800 [0.490, 0.943] |"


def test_photos_named_wrongly_are_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "1.png")
    wrong = pd.DataFrame(
        {"path": [str(tmp_path / "1.png")], "label": "glass", "predicted": "trash"}
    )

    first, *others = draw(wrong).axes

    assert first.get_title() == "glass: trash?"
    assert np.asarray(first.images[0].get_array())[0, 0].tolist() == [0, 128, 0]
    assert not any(axis.images for axis in others)


def test_features_are_judged_on_photos_that_no_copy_of_was_learned_from() -> None:
    """Features that only name the photo say nothing of its class, unless its twin was learned."""
    random = np.random.default_rng(0)
    twins = np.repeat(random.normal(size=(100, 1000)), 2, axis=0)
    groups = np.repeat([f"photo{number}" for number in range(100)], 2)
    labels = np.repeat(random.choice(["glass", "paper"], 100), 2)

    accuracy, _ = score(twins, pd.DataFrame({"label": labels, "group": groups}))

    assert accuracy < 0.65


def test_features_that_show_the_class_are_told_apart() -> None:
    labels = np.repeat(["glass", "paper", "trash"], 20)
    photos = pd.DataFrame({"label": labels, "group": [f"photo{n}" for n in range(60)]})
    features = np.eye(3)[np.repeat([0, 1, 2], 20)] + np.random.default_rng(0).normal(
        0, 0.01, (60, 3)
    )

    assert score(features, photos).accuracy == 1


SHARD = Measured(
    start_seconds=5.0, shard_seconds=[2.0], photos_a_shard=64, sent_bytes=30, returned_bytes=10
)


@pytest.mark.parametrize(
    ("cores", "link", "seconds"),
    [
        (1, np.inf, 100 + 5 + 20 * 2),
        (4, np.inf, 100 + 5 + 5 * 2),
        # Twenty shards of 30 bytes pass one after the other; the last is worked on and comes back.
        (4, 1.0, 100 + 20 * 30 + 2 + 10),
    ],
)
def test_simulated_cluster_waits_for_its_cores_or_for_its_link(
    cores: int, link: float, seconds: float
) -> None:
    assert simulate(SHARD, 20, cores, link, boot_seconds=100) == pytest.approx(seconds)


def experiment(repository: Path, name: str, **accuracies: float) -> None:
    """Leave an experiment with each model's test accuracy, on a commit of its own."""
    models = {
        model: {"test_accuracy": test, "best_val_accuracy": 0.5, "test_loss": 0.1}
        for model, test in accuracies.items()
    }
    commit = commit_files(repository, {"reports/comparison.json": json.dumps({"models": models})})
    git(repository, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", commit)


def test_repeats_gather_the_experiments_named_in_the_order_of_their_names(
    repository: Path,
) -> None:
    for name, accuracy in (("cv-2", 0.8), ("cv-1", 0.9), ("base", 0.2)):
        experiment(repository, name, MobileNet=accuracy)

    accuracies = read_accuracies("cv-*", repository)

    assert accuracies["test_accuracy"].tolist() == [0.9, 0.8]
    assert accuracies["best_val_accuracy"].tolist() == [0.5, 0.5]


def test_repeats_are_found_after_the_next_commit(repository: Path) -> None:
    experiment(repository, "cv-1", MobileNet=0.9)
    commit_files(repository, {"reports/comparison.json": "{}"})

    assert read_accuracies("*", repository)["test_accuracy"].tolist() == [0.9]


def test_repeats_leave_out_models_that_an_experiment_did_not_train(repository: Path) -> None:
    experiment(repository, "seed-1", MobileNet=0.9, Pair=0.95)
    experiment(repository, "seed-2", MobileNet=0.8)

    accuracies = read_accuracies("seed-*", repository)

    assert accuracies["model"].value_counts().to_dict() == {"MobileNet": 2, "Pair": 1}


def test_repeats_of_a_name_that_no_experiment_has_are_refused(repository: Path) -> None:
    experiment(repository, "base", MobileNet=0.9)

    with pytest.raises(PipelineError, match=r"`dvc exp show -A` lists"):
        read_accuracies("cv-*", repository)


def test_spread_over_repeats_is_that_of_a_sample() -> None:
    assert text(pd.Series([0.9, 0.8])) == "0.850 ± 0.071 (0.900, 0.800)"


def test_one_experiment_has_no_spread() -> None:
    assert text(pd.Series([0.9], index=["MobileNet"])) == "0.900"


def folds_of(**correct: list[bool]) -> pd.DataFrame:
    """Make what two folds of two photos each answered, as read from experiments."""
    photos = pd.DataFrame(
        {
            "fold": ["it-1", "it-1", "it-2", "it-2"],
            "path": ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg", "paper/2.jpg"],
            "label": ["glass", "glass", "paper", "paper"],
        }
    )
    return pd.concat([photos.assign(model=model, correct=of) for model, of in correct.items()])


def test_folds_are_paired_by_photo_whatever_their_order() -> None:
    baseline = folds_of(MobileNet=[True, False, False, False]).iloc[::-1]
    setting = folds_of(MobileNet=[True, True, False, True])

    paired = pair_photos("adam", setting, baseline)["MobileNet", "adam"]

    assert paired["baseline"].tolist() == [True, False, False, False]


def test_folds_pair_only_models_that_both_trained() -> None:
    baseline = folds_of(MobileNet=[True] * 4, Pair=[True] * 4)

    pairs = pair_photos("adam", folds_of(MobileNet=[True] * 4), baseline)

    assert list(pairs) == [("MobileNet", "adam")]


def test_folds_without_a_model_in_common_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"^adam and the baseline trained no model in common"):
        pair_photos("adam", folds_of(MobileNet=[True] * 4), folds_of(Pair=[True] * 4))


def test_folds_of_other_photos_are_refused() -> None:
    baseline = folds_of(MobileNet=[True] * 4)

    with pytest.raises(PipelineError, match=r"^adam and the baseline tested MobileNet on differ"):
        pair_photos("adam", baseline.iloc[:3], baseline)


def test_folds_cut_in_another_way_are_refused() -> None:
    baseline = folds_of(MobileNet=[True] * 4)
    others = baseline.assign(fold=["it-1", "it-2", "it-1", "it-2"])

    with pytest.raises(PipelineError, match="cut the photos of MobileNet into different folds"):
        pair_photos("adam", others, baseline)


def test_seeds_are_not_taken_for_folds() -> None:
    twice = pd.concat([folds_of(MobileNet=[True] * 4)] * 2)

    with pytest.raises(PipelineError, match=r"photo of MobileNet more than once.*\./study"):
        pair_photos("adam", twice, twice)


def test_folds_tell_accuracy_and_photos_gained_and_lost() -> None:
    baseline = folds_of(MobileNet=[True, False, True, False])
    setting = folds_of(MobileNet=[True, True, False, True])

    lines = table(pair_photos("adam", setting, baseline))

    assert lines[2] == "| MobileNet | the baseline | 0.500 ± 0.000 | | | |"
    assert lines[3].startswith("| MobileNet | adam | 0.750 ± 0.354 | 2, 1 | +25.0 [")
    assert lines[3].endswith("| 1, 1 |")


def test_one_fold_has_no_spread() -> None:
    one = folds_of(MobileNet=[True, False, True, False]).assign(fold="it-1")

    lines = table(pair_photos("adam", one, one))

    assert lines[2] == "| MobileNet | the baseline | 0.500 | | | |"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PipelineError("Make it."), "Make it."),
        (
            FileNotFoundError(2, "No such file", "a.csv"),
            "a.csv is missing; mend the path, or let `dvc repro` make it.",
        ),
    ],
)
def test_what_a_person_can_mend_is_told_in_a_sentence(error: Exception, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run_benchmark(Mock(side_effect=error))

    assert ended.value.code == said


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_asked_for_help_a_benchmark_measures_nothing(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.startswith(f"usage: {name}.py")
    assert not [*tmp_path.iterdir()]
