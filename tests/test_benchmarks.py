"""What the benchmarks reckon from their measurements, and how a stage's usage reaches them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pandas as pd
import pytest

from benchmarks.arithmetic import bytes_of, operations_of
from benchmarks.photo_speed import planted_hashes
from benchmarks.stage_times import COLUMNS, HOOK, Run
from benchmarks.startup import where_time_goes
from benchmarks.usual_way import SECONDS, PipelineRun, sweep_of_pipeline

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


def test_a_tenth_of_the_planted_hashes_has_a_near_duplicate() -> None:
    hashes = planted_hashes(100, bits=4)

    distances = [int(hashes[number] ^ hashes[-1 - number]).bit_count() for number in range(10)]
    assert distances == [4] * 10
