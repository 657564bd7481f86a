"""A paired test: do two systems differ on the same tracks by more than chance?"""

import itertools

import numpy as np

ROUNDING = 1e-9  # of the largest mean: as far apart, two means count as equal


def sign_flip(differences: np.ndarray, resamples: int, seed: int) -> float:
    """The two-sided p of the sign-flip (Fisher-Pitman) test of a mean difference of 0.

    If neither system were better, each track's difference would be as likely with the other sign: p is
    the share of all sign patterns whose mean is at least as far from 0. All 2^n patterns are tried if they
    are no more than `resamples`, else that many random ones, with the one observed counted among them.

    Args:
        differences: one per track; NaN (a track without this metric) is left out.
        resamples: patterns to try.
        seed: of random patterns.
    """
    values = differences[~np.isnan(differences)]
    if 2 ** len(values) <= resamples:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), size=(resamples, len(values)))
        signs[0] = 1
    means = np.abs(signs @ values)
    return float(np.mean(means >= means[0] - ROUNDING * means.max()))
