"""The grid of a study: which parameters take which values, and what each run is called."""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dvc.utils.hydra import to_hydra_overrides
from hydra.errors import OverrideParseException
from ruamel.yaml import YAML

from trashnet.errors import PipelineError
from trashnet.params import PARAMS_FILE, YAML_FAULTS, check_params, public_address
from trashnet.study.values import hydra, parse_values, scalar

SEED = "seed"
CODE = ("dvc.yaml", "stages/*.py", "trashnet/*.py", "corrections/**/*")
"""What decides a run's outcome beside the parameters: the graph, its code, mended labels."""

STAGES_OF = ("models", "export")
"""DVC makes a stage of each entry, and where it finds no list it fails without saying so."""

READABLE = 150
"""Letters of a run's name before its hash: file systems take 255 bytes."""

Setting = dict[str, Any]
"""Values by parameter name, e.g. ``{"alpha": 0.5, "head.dropout": 0.2}``."""


class Run(NamedTuple):
    """One experiment of a study.

    Attributes
    ----------
    name : str
        Of the DVC experiment: what is varied, and a hash of all parameters,
        code and corrections of labels, so that an experiment of this name is
        this experiment.
    setting : dict
        The varied parameters but the seed.
    seed : int
        The training seed; settings are compared over these.
    values : dict
        All that the study sets, by parameter name; a ``+`` or ``++`` before a
        name is Hydra's mark of one that its section does not or may not have.
    """

    name: str
    setting: Setting
    seed: int
    values: dict[str, Any]

    @property
    def overrides(self) -> list[str]:
        """What ``dvc exp run -S`` is given."""
        return [f"{key}={hydra(value)}" for key, value in self.values.items()]


def make_grid(arguments: Sequence[str], fixed: Sequence[str], folder: Path = Path()) -> list[Run]:
    """Combine all values of all parameters.

    Parameters
    ----------
    arguments : sequence of str
        ``parameter=values``, see `parse_values`. Without ``seed=...`` the one
        of params.yaml is used.
    fixed : sequence of str
        ``parameter=value`` for all runs, ``+section.key=value`` for a key that
        the section does not have yet, or ``++`` where it may have it.
    folder : Path
        The repository's root.

    Raises
    ------
    PipelineError
        If an argument has no ``=``, or names a parameter that params.yaml
        lacks or that another argument names, too.
    """
    params = read_params(folder / PARAMS_FILE)
    given = [split_assignment(argument) for argument in [*arguments, *fixed]]
    for key, times in Counter(key.lstrip("+") for key, _ in given).items():
        if times > 1:
            raise PipelineError(f"{key} is given {times} times; give it once, as one list.")
    values = {key: parse_values(value) for key, value in given[: len(arguments)]}
    constants = {key: scalar(value) for key, value in given[len(arguments) :]}
    for key in [*values, *constants]:
        if key.startswith("+") and key in constants:
            _check_new_key(params, key)
        elif isinstance(current := look_up(params, key), dict):
            raise PipelineError(
                f"{key} is a section of {PARAMS_FILE}; name one of {_keys(current)}."
            )
        _check_key(key)
    for key in STAGES_OF:
        given_lists = [*values.get(key, []), constants.get(key, [])]
        if not all(isinstance(value, list) for value in given_lists):
            raise PipelineError(f"{key} takes lists, in brackets even of one: {key}=[MobileNetV2].")
    values.setdefault(SEED, [constants.pop(SEED, look_up(params, SEED))])

    code = hash_code(folder)
    runs = []
    for combination in itertools.product(*values.values()):
        point = dict(zip(values, combination, strict=True))
        whole = _in_order([params, constants | point, code])
        digest = hashlib.sha256(whole.encode()).hexdigest()[:10]
        varied = "-".join(f"{key}-{public_address(str(value))}" for key, value in point.items())
        # git takes no name with two points in a row, and its file is called like the run.
        readable = re.sub(r"[^A-Za-z0-9._]+|\.{2,}", "-", f"{varied}-")[:READABLE]
        runs.append(
            Run(
                name=f"{readable.removesuffix('-')}-{digest}",
                setting={key: value for key, value in point.items() if key != SEED},
                seed=point[SEED],
                values=constants | point,
            )
        )
    return runs


def _check_key(key: str) -> None:
    """Refuse a key that DVC does not read in ``-S``, of which every run would fail by itself."""
    try:
        to_hydra_overrides([f"{key}=0"])
    except OverrideParseException:
        raise PipelineError(
            f"DVC cannot set {key}: names in it should be of Latin letters, digits, - and _ and "
            f"begin with a letter; rename them in {PARAMS_FILE}, or change the value there."
        ) from None


def _check_new_key(params: dict[str, Any], key: str) -> None:
    section, _, name = key.lstrip("+").rpartition(".")
    if not section:
        raise PipelineError(f"{key} names no section; a new key needs one: +section.key.")
    entries = look_up(params, section)
    if not isinstance(entries, dict):
        raise PipelineError(
            f"{section} is no section of {PARAMS_FILE}, so it takes no key of its own."
        )
    if name in entries and not key.startswith("++"):
        raise PipelineError(
            f"{PARAMS_FILE} has {section}.{name} already; write ++{section}.{name}."
        )


def check_values(runs: Sequence[Run], folder: Path = Path()) -> None:
    """Refuse a study of which a run would be refused, before any of them trains.

    Raises
    ------
    PipelineError
        If no stage would take the parameters of a run.
    """
    for run in runs:
        params = read_params(folder / PARAMS_FILE)
        for key, value in run.values.items():
            *sections, name = key.lstrip("+").split(".")
            look_up(params, ".".join(sections))[name] = value
        check_params(params, f"{PARAMS_FILE} with {', '.join(run.overrides)}")


def baseline_of(runs: Sequence[Run], folder: Path = Path()) -> Setting:
    """Return the setting that is held against the others: params.yaml's own, or the first."""
    params = read_params(folder / PARAMS_FILE)
    for run in runs:
        if all(look_up(params, key) == value for key, value in run.setting.items()):
            return run.setting
    return runs[0].setting


def split_assignment(argument: str) -> tuple[str, str]:
    """Split ``key=value``."""
    key, equals, value = argument.partition("=")
    if not (key and equals and value):
        raise PipelineError(f"{argument!r} should be parameter=values, like alpha=0,0.2,0.5.")
    return key, value


def read_params(path: Path) -> dict[str, Any]:
    """Read params.yaml as it stands; the stages check it."""
    try:
        params = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run this from the repository's root.") from None
    except YAML_FAULTS as error:
        raise PipelineError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(params, dict):
        raise PipelineError(f"{path} holds no parameters; `git checkout {path.name}` brings them.")
    return params


def look_up(params: dict[str, Any], key: str) -> Any:
    """Return the value of a dotted key, of an empty one all parameters."""
    section: Any = params
    for name in key.split(".") if key else []:
        if not isinstance(section, dict) or name not in section:
            raise PipelineError(f"{PARAMS_FILE} has no parameter {key}; it has {_keys(params)}.")
        section = section[name]
    return section


def hash_code(folder: Path) -> str:
    """Hash the files that `CODE` names."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for file in sorted(path for path in folder.glob(pattern) if path.is_file()):
            digest.update(f"{file.relative_to(folder)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def hash_workspace(folder: Path = Path()) -> str:
    """Hash what runs start from: params.yaml and the files that `CODE` names."""
    params = _in_order(read_params(folder / PARAMS_FILE))
    return hashlib.sha256(f"{params} {hash_code(folder)}".encode()).hexdigest()


def describe(setting: Setting) -> str:
    """Name a setting in one line, e.g. ``alpha=0.5``; where nothing varies but the seed, at all."""
    return ", ".join(f"{key}={value}" for key, value in setting.items()) or "these settings"


def _in_order(content: object) -> str:
    """Write parameters in an order that does not hang on that of the file."""
    return json.dumps(_with_text_keys(content), sort_keys=True, default=str)


def _with_text_keys(content: object) -> object:
    # YAML takes a dataset called 2024 for a number, which no order puts beside texts.
    if isinstance(content, dict):
        return {str(key): _with_text_keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_text_keys(item) for item in content]
    return content


def _keys(section: dict[str, Any]) -> str:
    return ", ".join(str(key) for key in section)
