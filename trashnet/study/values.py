"""The values of a parameter: as a command line names them, and as Hydra reads them."""

import json
import math
import re
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML

from trashnet.errors import PipelineError
from trashnet.params import YAML_FAULTS


def parse_values(text: str) -> list[Any]:
    """Read the values of one parameter.

    Parameters
    ----------
    text : str
        A comma list of YAML values (``0,0.2,adam,[128]``); ``1..5`` stands for
        all integers from 1 to 5 and ``0..1..0.25`` for steps of 0.25.

    Raises
    ------
    PipelineError
        If it names no value, or one twice.
    """
    values: list[Any] = []
    for part in re.split(r",(?![^\[]*\])", text):
        # Two points stand in paths, too, and no path is a number.
        values += _range(part) if ".." in part and "/" not in part else [scalar(part)]
    if any(value in values[:position] for position, value in enumerate(values)):
        raise PipelineError(f"The list {text} names a value twice; name each once.")
    return values


def _range(text: str) -> list[Any]:
    try:
        first, last, *steps = (Decimal(part) for part in text.split(".."))
        (step,) = steps or [Decimal(1)]
        steps_up = math.floor((last - first) / step)
    except (ArithmeticError, ValueError):
        raise PipelineError(f"{text} should be first..last or first..last..step.") from None
    if steps_up < 0:
        raise PipelineError(f"{text} holds no value; write the smaller number first.")
    if steps_up == 0 and first != last:
        raise PipelineError(f"{text} holds {first} alone; name a step, as in 0..0.8..0.2.")
    return [scalar(str(first + index * step)) for index in range(steps_up + 1)]


def scalar(text: str) -> Any:
    """Read one value."""
    if not text.strip():
        raise PipelineError("A value between two commas is empty; write each one out.")
    try:
        value = YAML(typ="safe").load(text)
    except YAML_FAULTS:
        raise PipelineError(f"{_short(text)} is not a YAML value.") from None
    if not _is_plain(value):
        raise PipelineError(
            f"{_short(text)} should be a number, a text, true, false, null or a list."
        )
    if str(value).count("#") < text.count("#"):
        raise PipelineError(
            f"{_short(text)} holds a # behind a space, where YAML takes the rest for a comment; "
            "put double quotes around the value, inside of those that the shell takes away."
        )
    if "${" in text:
        raise PipelineError(
            f"{_short(text)} holds ${{, which DVC takes for the name of another value."
        )
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | None)


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def hydra(value: Any) -> str:
    """Write a value as `dvc exp run -S` reads it.

    In quotes, backslashes are themselves unless a quote follows ("Quoted
    values" in Hydra's "Extended Override syntax").
    """
    if isinstance(value, str):
        escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
        escaped = re.sub(r"(\\+)\Z", r"\1\1", escaped)
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{','.join(hydra(item) for item in value)}]"
    return json.dumps(value)
