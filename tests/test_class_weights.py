"""Class weights between photos that count equally and classes that do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from trashnet.class_weights import class_weights

CLASSES = ["glass", "paper", "trash"]


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200))
def test_alpha_one_is_scikit_learns_balanced_weighting(labels: list[str]) -> None:
    weights = class_weights(pd.Series(labels), alpha=1)
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    np.testing.assert_allclose(list(weights.values()), expected)


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200))
def test_alpha_zero_weighs_all_photos_equally(labels: list[str]) -> None:
    assert set(class_weights(pd.Series(labels), alpha=0).values()) == {1.0}


def test_half_an_alpha_goes_half_the_way() -> None:
    weights = class_weights(pd.Series(["glass"] * 3 + ["paper"]), 0.5)

    assert weights == pytest.approx({"glass": 5 / 6, "paper": 1.5})


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=200), st.floats(0, 1))
def test_class_weights_keep_the_mean_weight_at_one(labels: list[str], alpha: float) -> None:
    weights = class_weights(pd.Series(labels), alpha)
    assert np.mean([weights[label] for label in labels]) == pytest.approx(1)
