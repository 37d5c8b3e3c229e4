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

from benchmarks import run_benchmark
from benchmarks.arithmetic import bytes_of, operations_of
from benchmarks.cluster_scaling import Measured, simulate
from benchmarks.mistakes import draw, row, twins_of_training
from benchmarks.photo_speed import planted_hashes
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


@pytest.mark.parametrize("import_seconds", [5.0, 25.0])
def test_parts_of_a_run_add_up_to_its_seconds(import_seconds: float) -> None:
    stages = pd.DataFrame(
        [["train", 20.0, 30.0, 2.0, 0, 0], ["train", 10.0, 12.0, 2.0, 0, 0]], columns=COLUMNS
    )

    table = where_time_goes(Run(stages, 40.0, 50.0), pd.Series({"train": import_seconds}))

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
            ["paper/1.jpg", "paper/1.jpg", "test", ""],
            ["paper/2.jpg", "paper/1.jpg", "dropped", "Near-duplicate of paper/1.jpg in test."],
            ["paper/3.jpg", "paper/3.jpg", "test", ""],
            ["paper/4.jpg", "paper/4.jpg", "val", ""],
            ["paper/5.jpg", "paper/4.jpg", "dropped", "Near-duplicate of paper/4.jpg in val."],
            ["paper/6.jpg", "paper/6.jpg", "test", ""],
            ["paper/7.jpg", "paper/6.jpg", "dropped", "In none of the three lists."],
        ],
        columns=["path", "group", "split", "reason"],
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
