"""Keys of params.yaml that have to fit together: each is allowed by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
from params_work import error_of, write_params

from trashnet.params import load_params

WithKeys = Callable[[dict[str, object]], Path]


@pytest.fixture
def with_keys(tmp_path: Path) -> WithKeys:
    """Copy params.yaml with some keys set."""

    def write(changes: dict[str, object]) -> Path:
        write_params(changes, tmp_path)
        return tmp_path / "params.yaml"

    return write


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split.method": "official"}, "needs files"),
        ({"split.test": 0.85}, "test + val"),
        ({"split.method": "kfold", "split.folds": 2, "split.val": 0.5}, "1 / folds + val"),
        ({"split.fold": 6}, "from 1 to folds"),
        ({"datasets.sample.url": ["a.zip", "b.zip"]}, "content_sha256"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    with_keys: WithKeys, changes: dict[str, object], reason: str
) -> None:
    assert reason in error_of(with_keys(changes))


def test_folds_may_leave_almost_nothing_to_train_on(with_keys: WithKeys) -> None:
    path = with_keys({"split.method": "kfold", "split.folds": 2, "split.val": 0.49})

    assert load_params(path).split.val == 0.49


def test_the_share_of_another_method_does_not_matter(with_keys: WithKeys) -> None:
    path = with_keys({"split.method": "kfold", "split.test": 0.85})

    assert load_params(path).split.method == "kfold"


def test_models_that_are_trained_are_exported(with_keys: WithKeys) -> None:
    path = with_keys({"export": ["MobileNet", "MobileNetV2"]})

    assert load_params(path).export == ["MobileNet", "MobileNetV2"]


def test_an_export_of_a_model_left_out_is_refused(with_keys: WithKeys) -> None:
    path = with_keys({"export": ["MobileNet", "MobileNetV2"], "models": ["MobileNet"]})

    assert "export names MobileNetV2, which `models` does not train" in error_of(path)


def test_an_ensemble_joins_models_that_are_trained(with_keys: WithKeys) -> None:
    params = load_params(with_keys({"ensembles": {"Pair": ["MobileNet", "MobileNetV2"]}}))

    assert params.compared == [*params.models, "Pair"]


@pytest.mark.parametrize(
    ("ensembles", "reason"),
    [
        ({"Pair": ["MobileNet"]}, "ensembles.Pair has 1 entries and should have 2"),
        ({"Pair": ["MobileNet", "MobileNet"]}, "should name each model once"),
        ({"Pair": ["MobileNet", "VGG16"]}, "should be one of"),
        ({"a/b": ["MobileNet", "MobileNetV2"]}, "should match pattern"),
        ({"mobilenet": ["MobileNet", "MobileNetV2"]}, "should have a name of its own"),
        ({"best": ["MobileNet", "MobileNetV2"]}, "should have a name of its own"),
    ],
)
def test_other_ensembles_are_refused(
    with_keys: WithKeys, ensembles: dict[str, list[str]], reason: str
) -> None:
    assert reason in error_of(with_keys({"ensembles": ensembles}))


def test_an_ensemble_of_models_left_out_is_refused(with_keys: WithKeys) -> None:
    path = with_keys({"ensembles": {"Pair": ["MobileNet", "MobileNetV2"]}, "models": ["MobileNet"]})

    assert "ensembles.Pair names MobileNetV2, which `models` does not train" in error_of(path)
