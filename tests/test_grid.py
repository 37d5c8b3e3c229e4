"""Studies: the grid that a command line means, and the names of its runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from params_work import write_params
from study_work import git

from trashnet.errors import PipelineError
from trashnet.study.grid import baseline_of, check_values, hash_workspace, make_grid
from trashnet.study.values import hydra, parse_values

words = st.sampled_from(["true", "null", "1.0", "1e3", "[a]", "a=b", "C:\\\\", '\\\\"'])


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
        ('a#1,"b #2"', ["a#1", "b #2"]),
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
        (["alpha=0.9..0.1"], [], "holds no value"),
        (["alpha=0..0.8"], [], "holds 0 alone; name a step"),
        (["alpha=a..b"], [], "first..last"),
        (["beta=1"], [], "no parameter beta; it has alpha, seed, optimizer, models, head"),
        (["head=1"], [], "name one of units, dropout"),
        (["alpha=1"], ["alpha=2"], "alpha is given 2 times"),
        (["alpha=1", "alpha=2"], [], "alpha is given 2 times"),
        (["alpha=1"], ["seed=1", "seed=2"], "seed is given 2 times"),
        (["alpha=1..inf"], [], "first..last"),
        (["alpha=0..1..inf"], [], "holds 0 alone"),
        (["alpha=2024-01-01"], [], "a number, a text"),
        (["alpha=1"], ["optimizer={a: 1}"], "a number, a text"),
        (["alpha=1"], ["head.depth=2"], "no parameter head.depth"),
        (["models=A,B"], [], r"even of one: models=\[MobileNetV2\]"),
        (["alpha=1"], ["models=A"], r"even of one: models=\[MobileNetV2\]"),
        (["alpha=1"], ["+ensembles.Pair=[A,B]"], "no parameter ensembles"),
        (["alpha=1"], ["+alpha.depth=2"], "alpha is no section of params.yaml"),
        (["alpha=2024-13-45"], [], "is not a YAML value"),
        (["alpha=0x_"], [], "is not a YAML value"),
        (["alpha=!!bool x"], [], "is not a YAML value"),
        (["alpha=!!int"], [], "is not a YAML value"),
        ([f"alpha={'9' * 5000}"], [], r"9999\.\.\.' is not a YAML value"),
        (["alpha=1"], ["optimizer=[[2024-01-01]]"], "a number, a text"),
        (["alpha=1"], ["+head.depth=2", "++head.depth=3"], "head.depth is given 2 times"),
        (["head.dropout=0,0.1"], ["++head.dropout=0.2"], "head.dropout is given 2 times"),
        (["alpha=1"], ["+head.dropout=0.3"], r"head\.dropout already; write \+\+head\.dropout"),
        (["alpha=1"], ["optimizer=adam #2"], "takes the rest for a comment"),
        (["optimizer=adam,${alpha}"], [], "for the name of another value"),
        (["alpha=1"], ["+depth=2"], r"\+depth names no section"),
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
    override = OverridesParser.create().parse_override(f"optimizer={hydra(text)}")

    assert override.value() == text


@pytest.mark.parametrize("mark", ["+", "++"])
def test_an_entry_that_a_section_lacks_can_be_added_for_all_runs(
    mark: str, repository: Path
) -> None:
    (run,) = make_grid(["seed=2"], [f"{mark}head.names=[A,B]"], repository)

    assert run.overrides == [f'{mark}head.names=["A","B"]', "seed=2"]


@pytest.mark.parametrize(
    ("arguments", "fixed", "message"),
    [
        (["alpha=0.2,2"], [], r"with alpha=2, seed=1 cannot be used: alpha should be less than"),
        (["seed=1..3"], ["fine_tune.epochs=-1"], "fine_tune.epochs should be greater"),
        (["seed=1"], ["models=[MobileNet]", "export=[VGG16]"], "export.0 should be one of"),
        (["seed=1"], ["++ensembles.Pair=[MobileNet]"], "ensembles.Pair has 1 entries"),
        (["mirror_images=yes"], [], "mirror_images should be true or false, not 'yes'"),
    ],
)
def test_values_that_no_stage_takes_are_refused_before_any_run(
    arguments: list[str], fixed: list[str], message: str, tmp_path: Path
) -> None:
    write_params({}, tmp_path)
    runs = make_grid(arguments, fixed, tmp_path)

    with pytest.raises(PipelineError, match=message):
        check_values(runs, tmp_path)


def test_values_that_stages_take_pass(tmp_path: Path) -> None:
    write_params({}, tmp_path)
    added = ["++ensembles.Pair=[MobileNet,MobileNetV2]", "+fine_tune.layers_for.MobileNet=46"]

    check_values(make_grid(["alpha=0,1", "head.units=[],[128]"], added, tmp_path), tmp_path)


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


def test_a_dataset_whose_name_is_a_number_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write_params({}, tmp_path)
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("  trashnet:", "  2024:"))

    runs = make_grid(["seed=1..2"], [], tmp_path)

    assert hash_workspace(tmp_path)
    with pytest.raises(PipelineError, match=r"datasets\.2024 should be a valid string"):
        check_values(runs, tmp_path)


@pytest.mark.parametrize("name", ["2024a", "a+b", "my photos", "ünrat", "-mine"])
def test_keys_that_dvc_cannot_set_are_refused_before_any_run(name: str, tmp_path: Path) -> None:
    write_params({}, tmp_path)
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("  trashnet:", f'  "{name}":'))

    with pytest.raises(PipelineError, match=f"DVC cannot set .*{re.escape(name)}.license: names"):
        make_grid([f"datasets.{name}.license=CC0"], [], tmp_path)


def test_names_can_be_git_references(repository: Path) -> None:
    for run in make_grid(["head.units=[],[128]", "optimizer=adam,a~b:c,/a/../b"], [], repository):
        git(repository, "check-ref-format", f"refs/exps/aa/bb/{run.name}")


def test_names_of_long_values_fit_into_a_file_name_and_differ(repository: Path) -> None:
    long = "x" * 300
    runs = make_grid([f"optimizer={long}a,{long}b"], [], repository)

    first, second = (run.name for run in runs)

    assert first != second
    assert max(len(first), len(second)) < 200


def test_names_hold_no_signatures(repository: Path) -> None:
    runs = make_grid(["optimizer=https://store/a?sig=secret,b", "seed=1,2"], [], repository)

    assert [run.name.rpartition("-")[0] for run in runs] == [
        "optimizer-https-store-a-seed-1",
        "optimizer-https-store-a-seed-2",
        "optimizer-b-seed-1",
        "optimizer-b-seed-2",
    ]


def test_baseline_is_params_own_setting_or_the_first(repository: Path) -> None:
    own = make_grid(["alpha=0,0.2,0.5"], [], repository)
    other = make_grid(["alpha=0.8,0.5"], [], repository)

    assert baseline_of(own, repository) == {"alpha": 0.2}
    assert baseline_of(other, repository) == {"alpha": 0.8}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"params\.yaml holds no parameters"),
        (b"name: caf\xe9\n", r"params\.yaml is not valid YAML"),
        (b"alpha: 2024-13-45\n", r"params\.yaml is not valid YAML"),
        (b"alpha: [\n", r"params\.yaml is not valid YAML"),
        (b"alpha: 0.2\n", r"params\.yaml has no parameter seed; it has alpha"),
    ],
)
def test_broken_params_are_a_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)

    with pytest.raises(PipelineError, match=message):
        make_grid(["alpha=0,1"], [], tmp_path)
