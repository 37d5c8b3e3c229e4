"""dvc.yaml against the code: a stage reruns when, and only when, something it reads has changed."""

import ast
import hashlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from trashnet import dataset
from trashnet.params import Dataset

REPOSITORY = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"].items()
}

# No result depends on how these say, check, write or send something, so no stage depends on them,
# nor on what they import (`params` knows the backbones' names alone).
PLUMBING = {"cluster", "errors", "files", "params", "progress", "stage"}

# These decide whether a stage runs, and nothing of what it writes: a raised limit reruns nothing.
LIMITS = {"features.max_gigabytes"}

TABLES = {
    "RAW": dataset.RAW,
    "IMAGES": dataset.IMAGES,
    "MANIFEST": dataset.MANIFEST,
    "read_manifest": dataset.MANIFEST,
    "SPLITS": dataset.SPLITS,
    "read_splits": dataset.SPLITS,
}

DERIVED_KEYS = {
    "compared": {"models", "ensembles"},
    "fine_tune.layers_of": {"fine_tune.layers", "fine_tune.layers_for"},
}
"""What `params` makes of several keys, and those keys."""

WITHOUT_TENSORFLOW = ["download", "prepare", "split", "augment", "pretrained", "compare"]


@cache
def parsed(path: str) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"), path)


def imported(path: str) -> set[tuple[str, str]]:
    """Return (module, name) of every import in a file; the name is empty for a whole module."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def trashnet_imports(path: str) -> set[str]:
    """Return the modules of trashnet, plumbing apart, that a file imports itself."""
    modules = set()
    for module, name in imported(path):
        if module == "trashnet":
            modules.add(name)
        elif module.startswith("trashnet."):
            modules.add(module.removeprefix("trashnet."))
    return modules - PLUMBING


def scripts(stage: str) -> list[str]:
    """Return the files of stages/ that a stage's commands run."""
    return [f"stages/{name}.py" for name in re.findall(r"stages\.(\w+)", str(STAGES[stage]["cmd"]))]


def needed_modules(stage: str) -> set[str]:
    """Return the files of trashnet that a stage runs, directly or through one another."""
    needed: set[str] = set()
    found = {module for script in scripts(stage) for module in trashnet_imports(script)}
    while found:
        needed |= found
        found = {
            further for module in found for further in trashnet_imports(f"trashnet/{module}.py")
        } - needed
    return {f"trashnet/{module}.py" for module in needed}


def outputs(stage: str) -> set[str]:
    listed = [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]
    return {out if isinstance(out, str) else next(iter(out)) for out in listed}


class _ParamsReads(ast.NodeVisitor):
    def __init__(self) -> None:
        self.keys: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if match := re.fullmatch(r"(?:params|load_params\(\))\.([\w.]+)", ast.unparse(node)):
            self.keys.add(match[1])
        else:
            self.generic_visit(node)


def params_read(stage: str) -> set[str]:
    """Return the keys that a stage and its modules read, as dvc.yaml writes them."""
    reads = _ParamsReads()
    for path in {*scripts(stage)} | needed_modules(stage):
        reads.visit(parsed(path))
    fields = {f"data.{name}": field.alias or name for name, field in Dataset.model_fields.items()}
    selected = {"data": "datasets.${dataset}"}
    selected |= {key: f"datasets.${{dataset}}.{field}" for key, field in fields.items()}
    derived = {key: keys for key, keys in DERIVED_KEYS.items() if key in reads.keys}
    read = (reads.keys - set(derived)).union(*derived.values())
    return {selected.get(key, key) for key in read}


def is_within(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"ensemble"}))
def test_command_runs_the_stage_of_that_name(stage: str) -> None:
    model = " --model ${item.model}" if "matrix" in STAGES[stage] else ""

    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}{model}"


def test_an_ensemble_is_joined_and_then_scored_like_any_model() -> None:
    commands = [f"python -m stages.{stage} --model ${{key}}" for stage in ("ensemble", "evaluate")]

    assert STAGES["ensemble"]["cmd"] == commands


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_files_it_runs(stage: str) -> None:
    assert set(scripts(stage)) <= set(STAGES[stage]["deps"])


def test_every_stage_file_is_in_the_graph() -> None:
    files = {path.stem for path in (REPOSITORY / "stages").glob("*.py")} - {"__init__"}

    assert files == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_modules_it_runs(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("trashnet/")}
    needed = needed_modules(stage)

    assert needed <= declared, f"{stage} lacks the deps {sorted(needed - declared)}"
    assert declared <= needed, f"{stage} never imports its deps {sorted(declared - needed)}"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_tables_it_reads(stage: str) -> None:
    names = {name for script in scripts(stage) for _, name in imported(script)}
    tables = {str(TABLES[name]) for name in names & set(TABLES)}
    lacking = tables - set(STAGES[stage]["deps"]) - outputs(stage)

    assert not lacking, f"{stage} uses {sorted(lacking)}, which are neither its deps nor its outs"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_declares_the_params_it_reads(stage: str) -> None:
    # An ensemble follows its own entry alone.
    declared = {key.removesuffix(".${key}") for key in STAGES[stage].get("params", [])}
    read = params_read(stage) - LIMITS
    # A key of the selected dataset follows `dataset` by itself.
    if any("${dataset}" in key for key in declared):
        read.discard("dataset")
        declared.discard("dataset")
    undeclared = {key for key in read if not any(is_within(key, own) for own in declared)}
    unread = {own for own in declared if not any(is_within(key, own) for key in read)}

    assert not undeclared, f"{stage} reads the params {sorted(undeclared)} undeclared"
    assert not unread, f"{stage} never reads its params {sorted(unread)}"


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"compare"}))
def test_git_keeps_nothing_but_metrics_and_plots_of_a_stage(stage: str) -> None:
    """DVC never takes a stage with another uncached out from its run cache; `compare` is quick."""
    plain = STAGES[stage].get("outs", [])

    assert [out for out in plain if not isinstance(out, str)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_another(stage: str) -> None:
    modules = {f"stages/{stage}.py"} | needed_modules(stage)
    foreign = {module for path in modules for module, _ in imported(path) if "stages" in module}

    assert foreign == set()


@pytest.mark.parametrize("stage", WITHOUT_TENSORFLOW)
def test_stage_that_trains_nothing_loads_no_tensorflow(stage: str) -> None:
    program = (
        f"import sys, stages.{stage}; print(sorted({{'keras', 'tensorflow'}} & set(sys.modules)))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )

    assert loaded.stdout == "[]\n", loaded.stderr


def test_committed_results_are_those_of_this_code() -> None:
    """Else a clone compares its own run with one of other code; `dvc repro` makes them anew."""
    lock = YAML(typ="safe").load(REPOSITORY / "dvc.lock")["stages"]
    recorded = {
        dep["path"]: dep["md5"]
        for stage in lock.values()
        for dep in stage["deps"]
        if dep["path"].endswith(".py")
    }

    present = {
        path: hashlib.md5((REPOSITORY / path).read_bytes(), usedforsecurity=False).hexdigest()
        for path in recorded
    }

    assert recorded == present


@pytest.mark.parametrize("folder", ["app", "benchmarks", "stages", "trashnet"])
def test_nothing_is_unpickled(folder: str) -> None:
    """Whoever unpickles a file runs the code in it."""
    for path in (REPOSITORY / folder).rglob("*.py"):
        modules = {module.partition(".")[0] for module, _ in imported(str(path))}
        assert not modules & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}, path
        text = path.read_text(encoding="utf-8")
        for unsafe in ("allow_pickle=True", "read_pickle", "safe_mode=False", "unsafe_deserial"):
            assert unsafe not in text, f"{path}: {unsafe}"
