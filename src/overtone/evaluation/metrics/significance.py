"""A paired significance test: do two systems differ on the same tracks by more than chance?"""

import numpy as np
from scipy import stats


def sign_flip(differences: np.ndarray, resamples: int, seed: int) -> float:
    """Compute the two-sided p of the sign-flip (Fisher-Pitman) test of a mean difference of 0.

    If neither system were better, the difference of each track would be as likely with the other sign. p is
    the share of sign patterns whose mean lies at least as far from 0 as the observed mean. All 2^n patterns
    are tried if there are no more than `resamples` of them; otherwise `resamples` random patterns, with the
    observed one counted among them, so that p is never 0.

    Args:
        differences: one per track; NaN (a track without this metric) is left out.
        resamples: the number of patterns.
        seed: of the random patterns.

    Returns:
        p; 1 for a single track, whose two patterns lie equally far from 0.
    """
    values = differences[~np.isnan(differences)]
    if len(values) < 2:
        return 1.0
    test = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", vectorized=True, n_resamples=resamples, rng=seed
    )
    return float(test.pvalue)
