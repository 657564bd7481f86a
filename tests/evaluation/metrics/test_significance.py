"""paired: p values against SciPy and by hand."""

import numpy as np
import pytest
import scipy.stats

from overtone.evaluation.metrics.significance import sign_flip


def test_few_tracks_are_tested_exactly():
    # Of the eight patterns only the one seen and its mirror image are as far from 0.
    assert sign_flip(np.array([1.0, 2.0, 4.0]), 100, 0) == 2 / 8


@pytest.mark.parametrize("count", [8, 40])
def test_p_is_scipys(rng, count):
    differences = rng.normal(0.3, 1, count)
    expected = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert sign_flip(differences, 20_000, 0) == pytest.approx(expected, abs=0.015)


def test_equal_systems_do_not_differ():
    assert sign_flip(np.zeros(5), 100, 0) == 1


def test_a_track_without_the_metric_is_left_out():
    assert sign_flip(np.array([1.0, np.nan, 2.0, 4.0]), 100, 0) == 2 / 8
