"""Studies: the grid, what is run and what is not, the verdict, and the report."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from trashnet.errors import PipelineError
from trashnet.study.experiments import (
    check_fetched,
    find_experiments,
    rarest_class,
    reason_of,
    run_grid,
)
from trashnet.study.grid import Run, _hydra, baseline_of, make_grid, parse_values
from trashnet.study.nodes import _uncommitted_changes
from trashnet.study.report import (
    Verdict,
    collect,
    draw,
    judge,
    recommend,
    sentences,
    summary_table,
    tell_findings,
    tell_recommendation,
    write_report,
)
from trashnet.study.verdict import (
    LEAST_SEEDS,
    LEVEL,
    POWER,
    Finding,
    compare,
    find_all,
    majority,
    smallest_visible,
)

words = st.sampled_from(["true", "null", "1.0", "1e3", "[a]", "a=b", "C:\\\\", '\\\\"'])
PARAMS = """
alpha: 0.2
seed: 1
optimizer: adamw
models: [A, B]
head: {units: [], dropout: 0.2}
"""

RUN_ONE_EXPERIMENT = """
import signal
from pathlib import Path
from trashnet.study.experiments import run_experiment
from trashnet.study.grid import make_grid
# What a shell starts in the background ignores Ctrl-C, and all that it starts does, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
run_experiment(make_grid(["seed=1"], [], Path())[0], Path())
"""


def lock_of(photos: str, address: str = "gs://photos") -> str:
    """Write what DVC notes of the stages download and prepare."""
    return f"""schema: '2.0'
stages:
  download:
    cmd: python -m stages.download
    params:
      params.yaml:
        datasets.mine.url: {address}
    outs:
    - path: data/raw
      md5: {photos}.dir
  prepare:
    cmd: python -m stages.prepare
    outs:
    - path: data/images
      md5: {photos}.dir
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a git repository with parameters and code, one commit old."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "dvc.lock").write_text(lock_of(photos="aa"))
    for folder in ("stages", "trashnet"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text("epochs = 1\n")
    git(tmp_path, "init", "-q")
    commit_files(tmp_path, {})
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_files(folder: Path, files: dict[str, str]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "state")
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,0.2,1", [0, 0.2, 1]),
        ("1..4", [1, 2, 3, 4]),
        ("0..1..0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("0.1..0.3..0.1", [0.1, 0.2, 0.3]),
        ("adam,adamw", ["adam", "adamw"]),
        ("[],[128],[256,128]", [[], [128], [256, 128]]),
        ("true", [True]),
        ("../one,/two/../three", ["../one", "/two/../three"]),
    ],
)
def test_values_are_lists_or_ranges(text: str, values: list[Any]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("arguments", "fixed", "message"),
    [
        (["alpha"], [], "should be parameter=values"),
        (["alpha=0,,1"], [], "empty"),
        (["alpha=1,1"], [], "names a value twice"),
        (["alpha=3..1"], [], "holds no value"),
        (["alpha=a..b"], [], "first..last"),
        (["beta=1"], [], "no parameter beta; it has alpha, seed, optimizer, models, head"),
        (["head=1"], [], "name one of units, dropout"),
        (["alpha=1"], ["alpha=2"], "alpha is given 2 times"),
        (["alpha=1", "alpha=2"], [], "alpha is given 2 times"),
        (["alpha=1"], ["seed=1", "seed=2"], "seed is given 2 times"),
        (["alpha=1..inf"], [], "first..last"),
        (["alpha=0..1..inf"], [], "first..last"),
        (["alpha=2024-01-01"], [], "a number, a text"),
        (["alpha=1"], ["optimizer={a: 1}"], "a number, a text"),
        (["alpha=1"], ["head.depth=2"], "no parameter head.depth"),
        (["models=A,B"], [], r"even of one: models=\[MobileNetV2\]"),
        (["alpha=1"], ["models=A"], r"even of one: models=\[MobileNetV2\]"),
        (["alpha=1"], ["+ensembles.Pair=[A,B]"], "no parameter ensembles"),
    ],
)
def test_faulty_grids_are_refused(
    arguments: list[str], fixed: list[str], message: str, repository: Path
) -> None:
    with pytest.raises(PipelineError, match=message):
        make_grid(arguments, fixed, repository)


def test_grid_holds_every_combination_once(repository: Path) -> None:
    runs = make_grid(["alpha=0,0.5", "seed=1..3"], ["optimizer=adam"], repository)

    points = [(run.setting["alpha"], run.seed) for run in runs]
    assert points == [(0, 1), (0, 2), (0, 3), (0.5, 1), (0.5, 2), (0.5, 3)]
    assert len({run.name for run in runs}) == len(runs)
    assert runs[0].overrides == ['optimizer="adam"', "alpha=0", "seed=1"]


def test_lists_are_written_for_hydra(repository: Path) -> None:
    (run,) = make_grid(["head.units=[256,128]"], ["optimizer=adam"], repository)

    assert run.overrides == ['optimizer="adam"', "head.units=[256,128]", "seed=1"]


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")) | words)
def test_any_text_reaches_a_run_as_it_is(text: str) -> None:
    override = OverridesParser.create().parse_override(f"optimizer={_hydra(text)}")

    assert override.value() == text


@pytest.mark.parametrize("mark", ["+", "++"])
def test_an_entry_that_a_section_lacks_can_be_added_for_all_runs(
    mark: str, repository: Path
) -> None:
    (run,) = make_grid(["seed=2"], [f"{mark}head.names=[A,B]"], repository)

    assert run.overrides == [f'{mark}head.names=["A","B"]', "seed=2"]


def test_same_run_has_the_same_name_whatever_the_grid(repository: Path) -> None:
    (small,) = make_grid(["alpha=0.5", "seed=2"], [], repository)

    assert small in make_grid(["alpha=0,0.5", "seed=1..3"], [], repository)


@pytest.mark.parametrize(
    "file",
    ["params.yaml", "dvc.yaml", "stages/train.py", "trashnet/train.py", "corrections/mine.csv"],
)
def test_run_on_other_code_or_params_has_another_name(file: str, repository: Path) -> None:
    (before,) = make_grid(["alpha=0.5"], [], repository)
    (repository / file).parent.mkdir(exist_ok=True)
    with (repository / file).open("a") as stream:
        stream.write("more: 1\n")

    assert make_grid(["alpha=0.5"], [], repository)[0].name != before.name


def test_names_can_be_git_references(repository: Path) -> None:
    for run in make_grid(["head.units=[],[128]", "optimizer=adam,a~b:c"], [], repository):
        git(repository, "check-ref-format", f"refs/exps/aa/bb/{run.name}")


def test_baseline_is_params_own_setting_or_the_first(repository: Path) -> None:
    own = make_grid(["alpha=0,0.2,0.5"], [], repository)
    other = make_grid(["alpha=0.8,0.5"], [], repository)

    assert baseline_of(own, repository) == {"alpha": 0.2}
    assert baseline_of(other, repository) == {"alpha": 0.8}


def finish(run: Run, folder: Path, commit: str | None = None) -> None:
    """Leave the reference that `dvc exp run -n` leaves, in the place of an earlier one."""
    for reference in git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        if reference.endswith(f"/{run.name}"):
            git(folder, "update-ref", "-d", reference)
    head = commit or git(folder, "rev-parse", "HEAD")
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}", head)


def test_only_what_is_not_finished_runs(repository: Path) -> None:
    runs = make_grid(["seed=1..3"], [], repository)
    finish(runs[1], repository)
    executed = []

    def execute(run: Run, folder: Path) -> None:
        executed.append(run.seed)
        finish(run, folder)

    assert run_grid(runs, repository, execute) == {}
    assert executed == [1, 3]
    assert run_grid(runs, repository, execute) == {}
    assert executed == [1, 3]
    assert set(find_experiments(repository)) == {run.name for run in runs}


def test_runs_on_photos_of_before_do_not_pass_for_finished(repository: Path) -> None:
    runs = make_grid(["seed=1..2"], [], repository)
    finish(runs[0], repository)
    check_fetched(runs, repository)

    (repository / "dvc.lock").write_text(lock_of(photos="bb"))

    with pytest.raises(PipelineError, match=rf"dvc exp remove {runs[0].name}`"):
        check_fetched(runs, repository)


def test_runs_on_different_photos_of_one_address_are_not_mixed(repository: Path) -> None:
    runs = make_grid(["seed=1..2"], [], repository)
    for run, photos in zip(runs, ("aa", "bb"), strict=True):
        finish(run, repository, commit_files(repository, {"dvc.lock": lock_of(photos)}))
    (repository / "dvc.lock").unlink()

    with pytest.raises(PipelineError, match=rf"dvc exp remove {runs[1].name}`"):
        check_fetched(runs, repository)


def test_photos_of_another_address_are_no_news(repository: Path) -> None:
    runs = make_grid(["seed=1"], [], repository)
    finish(runs[0], repository)

    (repository / "dvc.lock").write_text(lock_of(photos="bb", address="gs://others"))

    check_fetched(runs, repository)


def test_a_finished_grid_needs_no_cluster(repository: Path) -> None:
    runs = make_grid(["seed=1"], [], repository)
    finish(runs[0], repository)

    assert run_grid(runs, repository, address="ray://nowhere:1") == {}


def test_failure_does_not_stop_the_rest(repository: Path) -> None:
    runs = make_grid(["seed=1..3"], [], repository)
    executed = []

    def execute(run: Run, _: Path) -> str | None:
        executed.append(run.seed)
        return "train: out of luck" if run.seed == 2 else None

    assert run_grid(runs, repository, execute) == {runs[1].name: "train: out of luck"}
    assert executed == [1, 2, 3]


@pytest.mark.parametrize("file", ["params.yaml", "stages/train.py", "corrections/team/labels.txt"])
def test_study_stops_where_what_it_runs_has_changed(file: str, repository: Path) -> None:
    executed = []

    def execute(run: Run, folder: Path) -> None:
        executed.append(run.seed)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("a") as stream:
            stream.write("more: 1\n")

    with pytest.raises(PipelineError, match="changed while the study ran; change them back"):
        run_grid(make_grid(["seed=1..3"], [], repository), repository, execute)

    assert executed == [1]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("train: all bad.\nERROR: failed to run: x, exited with 1", "train: all bad."),
        (
            "train: trains on the CPU\nERROR: failed to run: x, exited with -9",
            "ERROR: failed to run: x, exited with -9",
        ),
        (
            "train: trains on the CPU\nValueError: odd\nERROR: failed to run: x, exited with 1",
            "ValueError: odd; ERROR: failed to run: x, exited with 1",
        ),
        ("train: done\nERROR: cannot lock", "ERROR: cannot lock"),
        ("", "no output"),
    ],
)
def test_reason_of_a_failure_is_no_line_of_success(
    output: str, reason: str, repository: Path
) -> None:
    assert reason_of(output, repository) == reason


def test_ctrl_c_waits_until_dvc_has_removed_its_copy(repository: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=repository, check=True)
    started = repository / "started"
    stage = f"stages:\n  train:\n    cmd: touch {started} && sleep 300\n"
    commit_files(repository, {"dvc.yaml": stage, ".gitignore": "started\n"})
    study = subprocess.Popen(
        [sys.executable, "-c", RUN_ONE_EXPERIMENT],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not started.exists():
            assert study.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        copies = repository / ".dvc" / "tmp" / "exps" / "standalone"
        assert [*copies.glob("tmp*")]

        # A terminal sends it to the whole group: the study, DVC and its stage.
        os.killpg(study.pid, signal.SIGINT)
        _, errors = study.communicate(timeout=120)

        assert errors.endswith("KeyboardInterrupt\n")
        assert not [*copies.glob("tmp*")]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)


@pytest.mark.parametrize("content", [b"file,class\r\na,b\r\n", "größer\n".encode("latin-1")])
def test_changes_reach_a_node_as_they_are(content: bytes, repository: Path, tmp_path: Path) -> None:
    (repository / "labels.csv").write_bytes(b"file,class\r\n")
    commit_files(repository, {})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (repository / "labels.csv").write_bytes(content)

    (tmp_path / "patch").write_bytes(_uncommitted_changes(repository))

    git(clone, "apply", str(tmp_path / "patch"))
    assert (clone / "labels.csv").read_bytes() == content


def test_folder_in_which_dvc_fails_is_named(repository: Path, tmp_path: Path) -> None:
    folder = repository.rename(tmp_path.with_name("späces"))
    runs = make_grid(["seed=1"], [], folder)

    with pytest.raises(PipelineError, match="späces is not; move the clone"):
        run_grid(runs, folder, lambda run, folder: None)


def test_git_configuration_on_which_dvc_fails_is_named(repository: Path) -> None:
    git(repository, "config", "user.name", "Jürgen")
    runs = make_grid(["seed=1"], [], repository)

    with pytest.raises(PipelineError, match=r"user\.name=Jürgen is not"):
        run_grid(runs, repository, lambda run, folder: None)


def answers(share: float, photos: int = 400, seeds: int = 5, draw: int = 0) -> np.ndarray:
    """Return whether five seeds were right; the same photos are hard for all of them."""
    random = np.random.default_rng(draw)
    ease = np.linspace(0, 1, photos) + random.normal(0, 0.02, (seeds, photos))
    correct: np.ndarray = ease > 1 - share
    return correct


def test_planted_difference_is_found() -> None:
    found = compare(answers(0.93), answers(0.88))

    assert found.mean == pytest.approx(0.05, abs=0.01)
    assert 0 < found.low < found.mean < found.high
    assert found.p < 0.001


def test_equal_settings_differ_by_chance_alone() -> None:
    found = compare(answers(0.9, draw=1), answers(0.9, draw=2))

    assert found.low < 0 < found.high
    assert found.p > 0.05


def drawn_findings(
    gain: float,
    monkeypatch: pytest.MonkeyPatch,
    photos: int = 430,
    mean_logit: float = 3.2,
    seeds: int = 5,
) -> list[Finding]:
    """Compare 200 pairs of settings; `gain` is what one has in logits.

    Some photos are hard and some are easy for all, each training has its luck,
    and so has each answer.
    """
    monkeypatch.setattr("trashnet.study.verdict.RESAMPLES", 1_000)

    def right(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
        luck = random.normal(0, 0.15, (seeds, 1))
        correct: np.ndarray = random.random((seeds, photos)) < 1 / (1 + np.exp(-logits - luck))
        return correct

    findings: list[Finding] = []
    for number in range(200):
        random = np.random.default_rng(number)
        logits = random.logistic(mean_logit, 2, photos)
        pair = right(logits + gain, random), right(logits, random)
        findings += find_all({("M", "a"): pair}).values()
    return findings


@pytest.mark.parametrize("seeds", [1, LEAST_SEEDS, 5])
def test_equal_settings_are_called_different_at_most_at_the_stated_rate(
    seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = drawn_findings(0, monkeypatch, seeds=seeds)

    assert sum(found.is_shown for found in findings) <= LEVEL * len(findings)


@pytest.mark.parametrize(("photos", "mean_logit", "gain"), [(430, 3.2, 0.7), (29, 0.5, 3)])
def test_difference_said_to_be_visible_is_mostly_found(
    photos: int, mean_logit: float, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = drawn_findings(gain, monkeypatch, photos, mean_logit)

    # What was planted is just above what four of five such studies are said to see.
    visible = np.mean(
        [smallest_visible(found.difference.standard_error, photos, 1) for found in findings]
    )
    planted = np.mean([found.difference.mean for found in findings])
    assert visible < planted < 1.3 * visible
    assert sum(found.is_shown for found in findings) >= POWER * len(findings)


def test_comparison_is_paired_over_photos() -> None:
    """The same five points mean little where they fall on any photos."""
    random = np.random.default_rng(0)
    unpaired = compare(random.random((5, 400)) < 0.93, random.random((5, 400)) < 0.88)

    assert unpaired.standard_error > 1.3 * compare(answers(0.93), answers(0.88)).standard_error


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 100))
def test_a_setting_against_itself_is_no_difference(seeds: int, photos: int, draw: int) -> None:
    correct = answers(0.8, photos, seeds, draw)

    assert tuple(compare(correct, correct)) == (0, 0, 0, 0, 1, photos, seeds)


def test_majority_needs_more_than_half_of_the_seeds() -> None:
    correct = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], bool)

    assert majority(correct).tolist() == [True, False, False, False]


def test_more_comparisons_blur_what_can_be_seen() -> None:
    # 1.96 + 0.84 standard errors: the textbook's sum for one comparison and a power of 80%.
    one = smallest_visible(0.01, photos=430, comparisons=1)

    assert one == pytest.approx(0.028, abs=1e-4)
    assert smallest_visible(0.01, photos=430, comparisons=8) > one


@pytest.mark.parametrize(("photos", "few"), [(29, 0.36), (9, 0.9), (8, 1.0)])
def test_few_photos_show_only_what_is_large(photos: int, few: float) -> None:
    assert smallest_visible(0.01, photos, comparisons=8) >= few


def commit_run(
    folder: Path, run: Run, correct: dict[str, np.ndarray], val: float, val_photos: int = 10
) -> None:
    """Leave what an experiment leaves: metrics and predictions in git, and its reference."""
    files = {"reports/comparison.json": json.dumps({"models": {model: {} for model in correct}})}
    for model, right in correct.items():
        label = ["glass", "glass", "paper", "paper", "trash"] * (len(right) // 5)
        table = pd.DataFrame({"path": [f"{n}.jpg" for n in range(len(right))], "label": label})
        table["predicted"] = np.where(right, table["label"], "metal")
        recall = {name: float(right[table["label"] == name].mean()) for name in sorted(set(label))}
        test = {"accuracy": float(right.mean()), "macro_f1": 0.5, "recall": recall}
        files[f"metrics/{model}.json"] = json.dumps({"test": test, "val": {"accuracy": val}})
        files[f"metrics/{model}/predictions-test.csv"] = table.to_csv(index=False)
        validated = pd.DataFrame({"path": [f"val/{n}.jpg" for n in range(val_photos)]})
        files[f"metrics/{model}/predictions-val.csv"] = validated.to_csv(index=False)
    finish(run, folder, commit_files(folder, files))


@pytest.fixture
def finished(repository: Path) -> tuple[Path, list[Run], pd.DataFrame]:
    """Return a finished study: alpha 1 hurts MobileNet and does nothing to MobileNetV2."""
    runs = make_grid(["alpha=0.2,1", "seed=1..4"], [], repository)
    for run in runs:
        hurt = run.setting["alpha"] == 1
        correct = {
            "MobileNet": answers(0.85 if hurt else 0.95, 300, 4)[run.seed - 1],
            "MobileNetV2": answers(0.9, 300, 4, draw=5 + hurt)[run.seed - 1],
        }
        commit_run(repository, run, correct, val=0.8 if hurt else 0.9)
    return repository, runs, collect(runs, find_experiments(repository), repository)


def test_results_have_a_row_a_run_and_model(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, runs, results = finished

    assert len(results) == 2 * len(runs)
    assert set(results["setting"]) == {"alpha=0.2", "alpha=1"}
    assert {"recall_trash", "macro_f1", "val_accuracy", "commit"} <= set(results)


def test_verdict_finds_the_harm_and_nothing_else(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    hurt, unmoved = judge(results, {"alpha": 0.2}, "trash", repository)

    assert (hurt.model, unmoved.model) == ("MobileNet", "MobileNetV2")
    found = hurt.accuracy["alpha=1"]
    assert found.is_shown
    assert found.difference.mean == pytest.approx(-0.1, abs=0.02)
    assert found.p_holm >= found.difference.p
    assert not unmoved.accuracy["alpha=1"].is_shown


def test_rarest_class_has_a_verdict_of_its_own(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    hurt, _ = judge(results, {"alpha": 0.2}, "trash", repository)

    means = results[results["model"] == "MobileNet"].groupby("setting")["recall_trash"].mean()
    expected = means["alpha=1"] - means["alpha=0.2"]
    assert hurt.rarest_recall["alpha=1"].difference.mean == pytest.approx(expected)


def validated(*runs: tuple[str, int, float]) -> pd.DataFrame:
    """Make a model's results from (setting, seed, validation accuracy)."""
    columns = ["setting", "seed", "val_accuracy"]
    table = pd.DataFrame(runs, columns=columns)
    return table.assign(model="MobileNet", test_accuracy=0.9, val_photos="the same")


def test_recommendation_is_validations_and_stays_at_the_baseline_when_tied() -> None:
    def of(first: float, second: float) -> pd.DataFrame:
        return validated(("a", 1, first), ("b", 1, second))

    assert recommend(of(0.9, 0.8), "b") == "a"
    assert recommend(of(0.9, 0.9), "b") == "b"


def test_a_hard_seed_that_failed_in_one_setting_does_not_recommend_it() -> None:
    runs = [("base", 1, 0.8), ("base", 2, 0.95), ("other", 2, 0.93)]

    assert recommend(validated(*runs), "base") == "base"


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([("base", 1, 0.8), ("other", 2, 0.9)], "no seed has finished with every setting"),
        ([("other", 1, 0.8)], "no run of base with this model has finished"),
    ],
)
def test_what_cannot_be_recommended_says_why(
    runs: list[tuple[str, int, float]], reason: str
) -> None:
    results = validated(*runs)
    verdict = Verdict("MobileNet", {}, {}, {}, recommend(results, "base"))

    assert reason in tell_recommendation(verdict, results, "base")


def test_other_validation_photos_recommend_nothing(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, runs, _ = finished
    right = {"MobileNet": answers(0.95, 300, 4)[0]}
    for run in runs:
        photos = 20 if run.setting["alpha"] == 1 else 10
        commit_run(repository, run, right, val=0.9, val_photos=photos)
    results = collect(runs, find_experiments(repository), repository)

    (verdict,) = judge(results, {"alpha": 0.2}, "trash", repository)

    said = tell_recommendation(verdict, results, "alpha=0.2")
    assert said.startswith("Validation recommends nothing")


def test_baseline_without_a_run_is_refused(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished

    with pytest.raises(PipelineError, match=r"alpha=0\.5 has no finished run"):
        judge(results, {"alpha": 0.5}, "trash", repository)


def test_other_test_photos_are_not_compared(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, runs, _ = finished
    commit_run(repository, runs[0], {"MobileNet": np.ones(100, bool)}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)

    of_mobilenet, _ = judge(results, {"alpha": 0.2}, "trash", repository)

    assert "other photos" in of_mobilenet.unjudged["alpha=1"]


def test_one_setting_that_cannot_be_judged_costs_the_others_nothing(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished
    of_model = results[results["model"] == "MobileNet"]
    baseline = of_model["setting"] == "alpha=0.2"
    first_seed = of_model["seed"] == 1
    other_seeds = of_model[baseline & ~first_seed].assign(setting="alpha=0")
    kept = pd.concat([of_model[~baseline | first_seed], other_seeds])

    (verdict,) = judge(kept, {"alpha": 0.2}, "trash", repository)

    assert set(verdict.accuracy) == {"alpha=1"}
    said = sentences(verdict, kept, "alpha=0.2", "trash", 1)
    assert "No verdict on alpha=0: alpha=0 and alpha=0.2 have no finished seed in common." in said


def test_names_that_look_like_formulas_are_drawn(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, _, results = finished
    odd = results.rename(columns={"recall_trash": "recall_$_$"}).assign(setting="optimizer=$_$")

    assert draw(odd, "$_$").startswith(b"\x89PNG")


def test_report_is_whole_and_opens_offline(
    finished: tuple[Path, list[Run], pd.DataFrame], tmp_path: Path
) -> None:
    repository, runs, results = finished
    verdicts = judge(results, {"alpha": 0.2}, "trash", repository)
    target = tmp_path / "report"

    write_report(
        target, runs, results, verdicts, {"alpha": 0.2}, {"x-1": "train: <failed>"}, "trash"
    )

    text = (target / "report.md").read_text()
    page = (target / "index.html").read_text()
    for said in (
        "By more than chance, the accuracy of alpha=1 differs",
        "No difference in accuracy could be shown",
        "alpha=1: recall of trash",
        runs[0].name,
    ):
        assert said in text
        assert said in page
    assert "Validation recommends to stay with alpha=0.2 (validation accuracy 0.900)" in text
    assert "train: &lt;failed&gt;" in page
    assert "data:image/png;base64" in page
    assert "http" not in page
    assert len(pd.read_csv(target / "results.csv")) == len(results)


def test_one_seed_has_no_standard_deviation(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    _, _, results = finished

    one, four = summary_table(results[results["seed"] == 1]), summary_table(results)

    assert one["val_accuracy"].tolist()[:2] == ["0.900", "0.900"]
    assert four["val_accuracy"].tolist()[:2] == ["0.900 ± 0.000", "0.900 ± 0.000"]


@pytest.mark.parametrize(
    ("seeds", "photos", "said"),
    [
        (1, 430, "with fewer than 3 seeds, which compare trainings and not settings"),
        (5, 6, "with 6 test photos and 2 comparisons: had all of them changed"),
        (5, 430, "could be shown; four of five such studies"),
    ],
)
def test_what_cannot_be_shown_says_why(seeds: int, photos: int, said: str) -> None:
    pair = answers(0.9, photos, seeds, draw=1), answers(0.9, photos, seeds, draw=2)

    summary, _ = tell_findings(
        {"alpha=1": find_all({("M", "alpha=1"): pair})["M", "alpha=1"]}, "accuracy", "alpha=0", 2
    )

    assert said in summary


def test_a_single_setting_is_held_against_nothing(repository: Path, tmp_path: Path) -> None:
    runs = make_grid(["seed=1..2"], ["alpha=1"], repository)
    for run in runs:
        commit_run(repository, run, {"MobileNet": answers(0.9, 300, 2)[run.seed - 1]}, val=0.9)
    results = collect(runs, find_experiments(repository), repository)

    verdicts = judge(results, {}, "trash", repository)
    write_report(tmp_path / "report", runs, results, verdicts, {}, {}, "trash")

    text = (tmp_path / "report/report.md").read_text()
    assert "For all runs: alpha=1." in text
    assert "held against" not in text
    assert "recommends" not in text


def test_rarest_class_is_the_one_with_the_fewest_test_photos(
    finished: tuple[Path, list[Run], pd.DataFrame],
) -> None:
    repository, _, results = finished
    assert rarest_class(results, repository) == "trash"


def test_interval_alone_shows_nothing() -> None:
    found = compare(answers(0.93), answers(0.88))

    assert found.low > 0
    assert not Finding(found, p_holm=0.2).is_shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"params\.yaml holds no parameters"),
        (b"name: caf\xe9\n", r"params\.yaml is not valid YAML"),
        (b"alpha: [\n", r"params\.yaml is not valid YAML"),
        (b"alpha: 0.2\n", r"params\.yaml has no parameter seed; it has alpha"),
    ],
)
def test_broken_params_are_a_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)

    with pytest.raises(PipelineError, match=message):
        make_grid(["alpha=0,1"], [], tmp_path)
