"""The sign-flip test: p by hand, by enumeration of all sign patterns, and against Student's t."""

import itertools

import numpy as np
import pytest
import scipy.stats

from overtone.evaluation.metrics.significance import sign_flip


def test_few_tracks_are_tested_exactly():
    # Of the eight patterns only the observed one and its mirror image are as far from 0.
    assert sign_flip(np.array([1.0, 2.0, 4.0]), 100, 0) == 2 / 8


def test_p_is_the_share_of_all_sign_patterns(rng):
    differences = rng.normal(0.3, 1, 8)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=8)))
    means = np.abs((signs * differences).mean(axis=1))
    observed = abs(differences.mean())
    assert sign_flip(differences, 256, 0) == pytest.approx(np.mean(means >= observed - 1e-12))


def test_p_of_many_normal_differences_is_near_that_of_students_t(rng):
    differences = rng.normal(0.3, 1, 40)
    expected = scipy.stats.ttest_1samp(differences, 0).pvalue
    # 20,000 random patterns: a standard error of 0.0035 at most.
    assert sign_flip(differences, 20_000, 0) == pytest.approx(expected, abs=0.015)


def test_random_patterns_never_give_a_p_of_zero(rng):
    assert sign_flip(rng.normal(9, 0.1, 40), 100, 0) == pytest.approx(2 / 101)


def test_equal_systems_do_not_differ():
    assert sign_flip(np.zeros(5), 100, 0) == 1


def test_a_track_without_the_metric_is_left_out():
    assert sign_flip(np.array([1.0, np.nan, 2.0, 4.0]), 100, 0) == 2 / 8


def test_one_track_shows_nothing():
    assert sign_flip(np.array([3.0]), 100, 0) == 1
