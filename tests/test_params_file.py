"""The committed params.yaml: valid, complete and explained, also after DVC wrote into it."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from trashnet.params import Params, load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def test_committed_params_are_valid() -> None:
    params = load_params(COMMITTED)

    assert params.dataset == "sample"
    assert params.data is params.datasets["sample"]


def test_mirrors_keep_their_order() -> None:
    first, second = load_params(COMMITTED).datasets["trashnet"].urls

    assert first.startswith("gs://")
    assert second.startswith("https://")


def test_mirrors_may_stand_in_brackets_without_quotes(tmp_path: Path) -> None:
    mirrors = "[gs://bucket/photos.zip, https://example.org/photos.zip]"
    path = tmp_path / "params.yaml"
    sample = COMMITTED.read_text().replace("builtin:sample", mirrors)
    path.write_text(sample.replace("content_sha256: null", f"content_sha256: {'a' * 64}"))

    urls = load_params(path).data.urls

    assert urls == ["gs://bucket/photos.zip", "https://example.org/photos.zip"]


def unexplained(section: CommentedMap, lines: list[str], prefix: str = "") -> list[str]:
    """Return the keys without a comment on their own line, nor on that of their section."""
    keys = []
    for name, value in section.items():
        if "  # " in lines[section.lc.key(name)[0]]:
            continue
        if isinstance(value, CommentedMap):
            keys += unexplained(value, lines, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def test_every_knob_is_explained_on_its_line_or_its_sections() -> None:
    text = COMMITTED.read_text(encoding="utf-8")

    assert unexplained(YAML().load(text), text.splitlines()) == []


def test_every_knob_is_in_the_committed_file() -> None:
    params = YAML(typ="safe").load(COMMITTED)

    assert list(params) == list(Params.model_fields)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ensembles.Pair", "[MobileNet,MobileNetV2]"), ("fine_tune.layers_for.MobileNetV2", "64")],
)
def test_entry_that_an_experiment_added_can_be_taken_away(
    key: str, value: str, tmp_path: Path
) -> None:
    """DVC fails to read what it wrote where a section that it empties has a comment behind it."""
    file = tmp_path / "params.yaml"
    shutil.copyfile(COMMITTED, file)
    before = load_params(file)

    apply_overrides(file, [f"++{key}={value}"])
    added = load_params(file)
    apply_overrides(file, [f"~{key}"])

    assert added != before
    assert load_params(file) == before
