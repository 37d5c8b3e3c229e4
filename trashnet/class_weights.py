"""What each class counts in the loss."""

import pandas as pd


def class_weights(labels: "pd.Series[str]", alpha: float) -> dict[str, float]:
    """Weigh classes by how rare they are, damped by alpha.

    The weight of class i is ``1 + alpha * (n / (classes * n_i) - 1)``: at 1
    scikit-learn's ``class_weight="balanced"`` (King and Zeng 2001), at 0 all
    photos count the same.

    Parameters
    ----------
    labels : Series of str
        Of the training split alone, one a photo, before views.
    alpha : float
        In [0, 1].
    """
    counts = labels.value_counts().sort_index()
    balanced = len(labels) / (len(counts) * counts)
    weights: dict[str, float] = (1 + alpha * (balanced - 1)).to_dict()
    return weights
