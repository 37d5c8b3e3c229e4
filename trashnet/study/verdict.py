"""Whether a setting is better than the baseline by more than chance."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, norm

from trashnet.metrics import holm, mcnemar

RESAMPLES = 10_000
RESAMPLES_AT_ONCE = 500
"""Their shares of a hundred thousand photos take 0.8 GB."""

LEVEL = 0.05
POWER = 0.8

LEAST_SEEDS = 3
"""Fewer show the luck of single trainings, which no test on photos can tell from a setting."""


class Difference(NamedTuple):
    """A setting against the baseline, on the same seeds and test photos.

    Attributes
    ----------
    mean : float
        Share of photos that the setting had right less that of the baseline,
        over seeds and photos, in [-1, 1].
    low, high : float
        95% bootstrap interval of `mean`.
    standard_error : float
        Standard deviation of the bootstrap.
    p : float
        McNemar's exact test on the majority of the seeds, not yet corrected
        for the number of comparisons.
    photos, seeds : int
        How many were tested, by how many trainings each.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    p: float
    photos: int
    seeds: int


class Finding(NamedTuple):
    """A difference among others: the more comparisons, the likelier one stands out by chance.

    Attributes
    ----------
    difference : Difference
    p_holm : float
        Its p, corrected for the number of comparisons (Holm 1979).
    """

    difference: Difference
    p_holm: float

    @property
    def is_shown(self) -> bool:
        """Whether it is more than chance: by the test and by the interval, over enough seeds."""
        return (
            self.p_holm < LEVEL
            and not self.difference.low <= 0 <= self.difference.high
            and self.difference.seeds >= LEAST_SEEDS
        )


Pair = tuple[str, str]
"""A model and the setting of it that is held against the baseline."""


def find_all(pairs: Mapping[Pair, tuple[np.ndarray, np.ndarray]]) -> dict[Pair, Finding]:
    """Compare every pair and correct for their number.

    Parameters
    ----------
    pairs : mapping
        What `compare` takes: whether the setting and the baseline were right.
    """
    differences = {key: compare(*pair) for key, pair in pairs.items()}
    corrected = holm([found.p for found in differences.values()])
    return {
        key: Finding(found, p)
        for (key, found), p in zip(differences.items(), corrected, strict=True)
    }


def compare(correct: np.ndarray, baseline: np.ndarray, seed: int = 1) -> Difference:
    """Compare a setting with the baseline, paired over seeds and photos.

    Parameters
    ----------
    correct, baseline : bool array, shape (seeds, photos)
        Whether each was right; the same seed and photo at the same place.
    seed : int
        Of the bootstrap.
    """
    paired = correct.astype(float) - baseline.astype(float)
    means = bootstrap_means(paired, np.random.default_rng(seed))
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    p = mcnemar(majority(correct), majority(baseline))
    spread = float(low), float(high), float(means.std())
    seeds, photos = paired.shape
    return Difference(float(paired.mean()), *spread, p, photos, seeds)


def bootstrap_means(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw means of a table whose rows and columns are both samples.

    Seeds and photos are redrawn independently of each other, with replacement:
    the pigeonhole bootstrap (Owen 2007, Ann. Appl. Stat. 1:386-411), which
    errs on the side of too wide intervals.

    Parameters
    ----------
    values : float array, shape (rows, columns)

    Returns
    -------
    float array, shape (RESAMPLES,)
    """
    rows, columns = values.shape
    row_shares = random.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, RESAMPLES_AT_ONCE):
        block = slice(start, start + RESAMPLES_AT_ONCE)
        rows_of_block = row_shares[block]
        column_shares = random.multinomial(
            columns, np.full(columns, 1 / columns), len(rows_of_block)
        )
        means[block] = np.einsum("br,rc,bc->b", rows_of_block, values, column_shares, optimize=True)
    means /= columns
    return means


def majority(correct: np.ndarray) -> np.ndarray:
    """Return whether more than half of the seeds were right on each photo."""
    more_than_half: np.ndarray = correct.mean(axis=0) > 1 / 2
    return more_than_half


def smallest_visible(standard_error: float, photos: int, comparisons: int) -> float:
    """Return the difference that four of five such studies would show, 1 where none could.

    By the normal approximation it is the two-sided quantile at the level
    shared out over the comparisons (Bonferroni), plus that of the power, in
    standard errors (Cohen 1988, Statistical Power Analysis, chapter 2). On few
    photos McNemar's exact test asks for more: even where all photos that differ
    do so in one direction, it takes so many of them, and a binomial number of
    photos to be as large as that with the power (Clopper and Pearson 1934).

    Parameters
    ----------
    standard_error : float
        Of a `Difference`.
    photos : int
        How many were tested.
    comparisons : int
        Among which Holm's method corrects.
    """
    quantiles = norm.ppf(1 - LEVEL / comparisons / 2) + norm.ppf(POWER)
    # n photos in one direction have p = 2 * 0.5 ** n.
    needed = int(np.floor(np.log2(2 * comparisons / LEVEL))) + 1
    if needed > photos:
        return 1.0
    return max(
        float(quantiles * standard_error), float(beta.ppf(POWER, needed, photos - needed + 1))
    )
