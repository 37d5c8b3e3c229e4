"""params.yaml: every fault is named with its key, and what may be written is taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
from params_work import error_of
from ruamel.yaml import YAML

from trashnet.backbones import BACKBONES, Backbone
from trashnet.params import load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"

Changed = Callable[[str, object], Path]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Copy params.yaml with one key set, as `dvc exp run -S` does."""

    def change(key: str, value: object) -> Path:
        yaml = YAML()
        params = yaml.load(COMMITTED)
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
        path = tmp_path / "params.yaml"
        yaml.dump(params, path)
        return path

    return change


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        # wrong types; strict, so that `alpha: "0.5"` is not taken for a number
        ("alpha", "0.5", "number"),
        ("alpha", True, "number"),
        ("alpha", None, "number"),
        ("seed", 1.5, "integer"),
        ("seed", True, "integer"),
        ("dataset", 3, "string"),
        ("augment", None, "mapping"),
        ("augment.horizontal_flip", "yes", "should be true or false"),
        ("head.units", 128, "list"),
        ("models", "MobileNet", "list"),
        ("split", [], "mapping"),
        ("datasets", None, "mapping"),
        # out of range
        ("alpha", float("nan"), "finite"),
        ("weight_decay", float("inf"), "finite"),
        ("alpha", 1.1, "less than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**32, "less than 4294967296"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("augment.views", -1, "greater than or equal to 0"),
        ("augment.views", 10**20, "less than or equal to 1000000"),
        ("split.folds", 10**20, "less than or equal to 1000000"),
        ("augment.seed", -1, "greater than or equal to 0"),
        ("fine_tune.epochs", -2, "greater than or equal to 0"),
        ("fine_tune.layers", -1, "greater than or equal to 0"),
        ("fine_tune.layers_for", 64, "mapping"),
        ("initial.epochs", 0, "greater than or equal to 1"),
        ("initial.learning_rate", 0.0, "greater than 0"),
        ("split.test", 0.0, "greater than 0"),
        ("augment.brightness", [1.3, 0.7], "[lowest, highest]"),
        ("prepare.near_duplicate_bits", 65, "less than or equal to 64"),
        # not one of the choices
        ("optimizer", "sgd", "'adam' or 'adamw'"),
        ("split.method", "random", "'stratified', 'kfold' or 'official'"),
        ("split.folds", 1, "greater than or equal to 2"),
        ("early_stopping.monitor", "loss", "'val_loss' or 'val_accuracy'"),
        ("dataset", "elsewhere", "one of sample, trashnet"),
        ("models", ["MobileNet", "MobileNet"], "each model once"),
        ("models", [], "should have 1"),
        ("datasets", {}, "should have 1"),
        ("datasets.sample.url", [], "should have 1"),
        ("datasets.sample.image_size", [72], "should have 2"),
        ("datasets.sample.image_size", [72, 96, 3], "should have 2"),
        ("datasets.sample.content_sha256", "abc", "[0-9a-f]{64}"),
        ("datasets.sample.corrections", "labels/mine.csv", "folder corrections/"),
        ("datasets.sample.corrections", "corrections/../mine.csv", "folder corrections/"),
        # unknown keys
        ("aplha", 0.2, "not a known key"),
        ("head.widths", [1], "not a known key"),
        ("datasets.sample.urls", ["a"], "not a known key"),
    ],
)
def test_fault_is_named_with_its_key_and_what_is_allowed(
    changed: Changed, key: str, value: object, allowed: str
) -> None:
    message = error_of(changed(key, value))

    assert f"{key} " in message
    assert allowed in message


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("models", ["MobileNet", "AlexNet"], "models.1"),
        ("head.units", [128, 0], "head.units.1"),
        ("fine_tune.layers_for", {"MobileNet": -1}, "fine_tune.layers_for.MobileNet"),
        ("fine_tune.layers_for", {"AlexNet": 20}, "fine_tune.layers_for.AlexNet"),
        ("datasets.sample.image_size", [72, 8], "datasets.sample.image_size.1"),
        ("datasets.sample.url", 3, "datasets.sample.url.0"),
        ("datasets.sample.url", "", "datasets.sample.url.0"),
    ],
)
def test_fault_in_a_list_is_named_with_its_place(
    changed: Changed, key: str, value: object, place: str
) -> None:
    assert f"{place} " in error_of(changed(key, value))


def test_unknown_model_is_answered_with_the_known_ones(changed: Changed) -> None:
    message = error_of(changed("models", ["AlexNet"]))

    assert "MobileNetV2, MobileNetV3Small" in message
    assert "'AlexNet'" in message


def test_an_entry_among_the_backbones_makes_a_model_known(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, "DenseNet121", Backbone(preprocessing="torch"))

    assert load_params(changed("models", ["DenseNet121"])).models == ["DenseNet121"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0),
        ("alpha", 0),
        ("alpha", 1),
        ("augment.brightness", [1, 1]),
        ("augment.contrast", [0, 0]),
        ("augment.views", 0),
        ("datasets.sample.image_size", [32, 2048]),
        ("fine_tune.epochs", 0),
        ("prepare.near_duplicate_bits", 0),
        ("prepare.near_duplicate_bits", 64),
        ("split.fold", 5),
        ("split.listed_val", 1),
    ],
)
def test_bounds_are_inclusive(changed: Changed, key: str, value: object) -> None:
    load_params(changed(key, value))


def test_a_model_can_train_more_layers_than_the_others(changed: Changed) -> None:
    fine_tune = load_params(changed("fine_tune.layers_for", {"MobileNetV2": 64})).fine_tune

    assert (fine_tune.layers_of("MobileNetV2"), fine_tune.layers_of("MobileNet")) == (64, 20)


@pytest.mark.parametrize("name", ["photos-v1.2", "mine[1]", "my*", "", "a?"])
def test_dataset_that_dvc_could_not_find_is_refused(
    changed: Changed, tmp_path: Path, name: str
) -> None:
    params = YAML(typ="safe").load(COMMITTED.read_text())
    path = changed("datasets", params["datasets"] | {name: params["datasets"]["sample"]})

    assert f"datasets.{name}" in error_of(path)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("alpha: 7\nsede: 1\n")

    message = error_of(path)

    for fault in ["alpha should be", "sede is not a known key", "seed is missing"]:
        assert fault in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "should be a mapping"),
        (b"- alpha", "should be a mapping"),
        (b"alpha: [", "not valid YAML"),
        (b"alpha: 0.1\nalpha: 0.2\n", "duplicate key"),
        (b"alpha: \xff", "not valid YAML"),
        (b"alpha: 2024-13-45", "not valid YAML"),
        (b"alpha: !!int", "not valid YAML"),
        (b"alpha: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_file_that_holds_no_params_is_refused_by_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)

    message = error_of(path)

    assert message.startswith(str(path))
    assert reason in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "params.yaml is missing" in error_of(tmp_path / "params.yaml")


def test_small_learning_rate_is_a_number_as_dvc_writes_it(changed: Changed) -> None:
    path = changed("fine_tune.learning_rate", 0.00001)

    assert "1e-05" in path.read_text()
    assert load_params(path).fine_tune.learning_rate == 0.00001


def test_whole_number_does_where_a_fraction_may_stand(changed: Changed) -> None:
    assert load_params(changed("alpha", 1)).alpha == 1.0


def test_one_url_is_a_list_of_one_mirror(changed: Changed) -> None:
    params = load_params(changed("datasets.sample.url", "photos.zip"))

    assert params.data.urls == ["photos.zip"]


def test_params_cannot_be_changed_after_the_check() -> None:
    params = load_params(COMMITTED)

    with pytest.raises(ValueError, match="frozen"):
        params.alpha = 3.0
