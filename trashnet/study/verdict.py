"""Whether a setting is better than the baseline by more than chance."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, nct, norm, t, ttest_1samp

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
    seeds_error : float
        Standard error of the mean over seeds, on these photos; 0 for one seed.
    p : float
        The larger of two, not yet corrected for the number of comparisons:
        `p_over_photos`, for which the photos are the sample, and the paired t
        test of `p_over_seeds`, for which the trainings are.
    photos, seeds : int
        How many were tested, by how many trainings each.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    seeds_error: float
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
        """Whether it is more than chance: by the tests and by the interval, over enough seeds."""
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
    by_seed = paired.mean(axis=1)
    seeds, photos = paired.shape
    return Difference(
        mean=float(paired.mean()),
        low=float(low),
        high=float(high),
        standard_error=float(means.std()),
        seeds_error=float(by_seed.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else 0.0,
        p=max(p_over_photos(correct, baseline), p_over_seeds(by_seed)),
        photos=photos,
        seeds=seeds,
    )


def p_over_photos(correct: np.ndarray, baseline: np.ndarray) -> float:
    """Return the p value of McNemar's exact test on the majority of the seeds.

    Parameters
    ----------
    correct, baseline : bool array, shape (seeds, photos)

    Returns
    -------
    float
        In [0, 1]; 1 where the majority turns the other way than the mean, for
        which it then is no evidence.
    """
    of_setting, of_baseline = majority(correct), majority(baseline)
    turned = int(of_setting.sum()) - int(of_baseline.sum())
    if np.sign(turned) != np.sign(int(correct.sum()) - int(baseline.sum())):
        return 1.0
    return mcnemar(of_setting, of_baseline)


def p_over_seeds(differences: np.ndarray) -> float:
    """Return the p value of the paired t test (Student 1908) over seeds.

    McNemar's test takes the trainings as given: on thousands of photos it finds
    the luck of three trainings, whatever their setting.

    Parameters
    ----------
    differences : float array, shape (seeds,)
        The setting's share of photos right less the baseline's.

    Returns
    -------
    float
        In [0, 1]; 0 where all seeds differ alike, which one seed always does.
    """
    if not differences.any():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0
    return float(ttest_1samp(differences, 0).pvalue)


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


def smallest_visible(found: Difference, comparisons: int) -> float:
    """Return the difference that four of five such studies would show, 1 where none could.

    By the normal approximation it is the two-sided quantile at the level
    shared out over the comparisons (Bonferroni), plus that of the power, in
    standard errors (Cohen 1988, Statistical Power Analysis, chapter 2); for
    seeds, which are few, see `errors_visible`. On few photos McNemar's
    exact test asks for more: even where all photos that differ do so in one
    direction, it takes so many of them, and a binomial number of photos to be
    as large as that with the power (Clopper and Pearson 1934).

    Parameters
    ----------
    found : Difference
        Whose errors and numbers of photos and seeds such studies have.
    comparisons : int
        Among which Holm's method corrects.
    """
    level = 1 - LEVEL / comparisons / 2
    needed = photos_needed(comparisons)
    if needed > found.photos:
        return 1.0
    visible = [
        (norm.ppf(level) + norm.ppf(POWER)) * found.standard_error,
        beta.ppf(POWER, needed, found.photos - needed + 1),
    ]
    if found.seeds > 1:
        visible.append(errors_visible(found.seeds, comparisons) * found.seeds_error)
    return min(1.0, float(max(visible)))


def photos_needed(comparisons: int) -> int:
    """Return how many photos must change in one direction for McNemar's exact test to show it."""
    # n photos in one direction have p = 2 * 0.5 ** n.
    return int(np.floor(np.log2(2 * comparisons / LEVEL))) + 1


def errors_visible(seeds: int, comparisons: int) -> float:
    """Return the difference, in standard errors, that the t test over seeds shows with the power.

    A study estimates its standard error from its few seeds, too, so what it
    finds is distributed as noncentral t (Cohen 1988, chapter 2): the sum of
    two quantiles of t would promise too much.

    Parameters
    ----------
    seeds : int
        Two or more.
    comparisons : int
        Among which Holm's method corrects.
    """
    freedom = seeds - 1
    threshold = t.ppf(1 - LEVEL / comparisons / 2, freedom)
    # Twice the threshold and two more are found nine times of ten with two seeds, more with others.
    return float(
        brentq(lambda errors: nct.sf(threshold, freedom, errors) - POWER, 0, 2 * threshold + 2)
    )
