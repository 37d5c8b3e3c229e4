"""params.yaml as the tests change it."""

from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from trashnet.errors import PipelineError
from trashnet.params import load_params

PARAMS: dict[str, Any] = YAML(typ="safe").load(Path(__file__).parents[1] / "params.yaml")


def write_params(changes: dict[str, object], folder: Path = Path()) -> None:
    """Write the committed params.yaml with some keys set, like ``{"split.seed": 2}``."""
    params = deepcopy(PARAMS)
    for key, value in changes.items():
        *sections, last = key.split(".")
        reduce(getitem, sections, params)[last] = value
    YAML(typ="safe").dump(params, folder / "params.yaml")


def write_params_of_mine(folder: Path = Path(), **settings: object) -> None:
    """Write params.yaml with a dataset called mine, the sample's entry with some settings."""
    mine = PARAMS["datasets"]["sample"] | settings
    write_params({"dataset": "mine", "datasets.mine": mine}, folder)


def error_of(path: Path) -> str:
    """Return what is said of a params.yaml that cannot be used."""
    with pytest.raises(PipelineError) as caught:
        load_params(path)
    return str(caught.value)
