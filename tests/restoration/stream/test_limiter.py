"""The limiter: within full scale, by a gain that is smooth, 1 elsewhere, and the same however cut."""

import numpy as np
import pytest

from overtone.restoration.stream.crossover import keep_high_band
from overtone.restoration.stream.limiter import BLOCK, MOST_PEAK, REACH, ROUNDING, Limiter
from tests.helpers.sound import RATE, band

AROUND = 2 * round(REACH * RATE) + 3 * BLOCK  # samples beside a peak beyond which the gain is 1


def run(dry, added, cuts=(), peak=1.0):
    limiter = Limiter(RATE, len(dry), peak)
    parts = list(zip(np.split(dry, cuts, axis=1), np.split(added, cuts, axis=1), strict=True))
    out = [limiter.process(*part, number == len(parts) - 1) for number, part in enumerate(parts)]
    return np.concatenate(out, axis=1), limiter


@pytest.fixture
def sound(rng):
    """Two channels of input that reach full scale, and a loud added band."""
    dry = np.clip(rng.normal(0, 0.3, (2, 3 * RATE)), -1, 1).astype(np.float32)
    return dry, keep_high_band(rng.normal(0, 0.1, dry.shape).astype(np.float32), 8000)


def test_the_sum_stays_within_full_scale_where_the_input_does(sound):
    dry, added = sound
    assert (np.abs(dry + added) > 1).sum() > 100
    out, limiter = run(dry, added)
    assert np.abs(out).max() <= 1
    assert limiter.limited.seconds > 0.1


def test_where_the_input_is_over_nothing_goes_beyond_its_peak(sound):
    dry, added = sound
    dry[:, RATE:] *= 1.5
    out, _ = run(dry, added, peak=1.5)
    assert np.abs(out[:, : RATE - AROUND]).max() <= 1
    assert 1.4 < np.abs(out).max() <= np.abs(dry).max()
    # A second of it leaves the rest as it is.
    alone, _ = run(dry[:, :RATE], added[:, :RATE])
    assert np.abs(out[:, : RATE - 2 * AROUND] - alone[:, : RATE - 2 * AROUND]).max() < ROUNDING


def test_an_isolated_peak_gets_the_largest_gain_that_serves_and_all_else_gain_1(rng):
    dry = np.full((1, RATE), 0.5, np.float32)
    dry[0, 20000] = 0.9
    added = np.full((1, RATE), 0.4, np.float32)
    out, limiter = run(dry, added)
    gain = ((out - dry) / added)[0]
    assert gain[20000] == pytest.approx(0.25, abs=1e-5)
    assert limiter.limited.decibels == pytest.approx(12.04, abs=0.01)
    away = np.abs(np.arange(RATE) - 20000) > AROUND
    assert np.abs(gain[away] - 1).max() < 1e-6
    # It falls and rises once, and in no step does it change by more than a Hann window of that length does.
    assert np.abs(np.diff(gain)).max() < 0.75 * 1.1 / (REACH * RATE)
    assert (np.diff(np.sign(np.diff(gain[np.abs(np.diff(gain, prepend=1)) > 1e-5]))) != 0).sum() <= 2


def test_without_a_peak_the_sum_is_the_plain_sum(sound):
    dry, added = 0.3 * sound[0], sound[1]
    out, limiter = run(dry, added)
    assert np.array_equal(out, dry + added)
    assert limiter.limited is None


@pytest.mark.parametrize("cuts", [(1,), (BLOCK - 1, BLOCK, 5000), tuple(range(0, 3 * RATE, 7777))], ids=str)
def test_the_sum_does_not_depend_on_the_blocks(sound, cuts):
    whole, _ = run(*sound)
    parts, _ = run(*sound, cuts)
    assert np.abs(parts - whole).max() < ROUNDING


def test_the_sum_lags_by_no_more_than_the_latency(sound):
    limiter, behind, most = Limiter(RATE, 2), 0, 0
    for dry, added in zip(*(np.array_split(samples, 999, axis=1) for samples in sound), strict=True):
        behind += dry.shape[1] - limiter.process(dry, added, False).shape[1]
        most = max(most, behind)
    assert 0.9 < most / limiter.latency <= 1


def test_both_channels_have_one_gain(sound):
    dry, added = sound
    dry[1] *= 0.1
    out, _ = run(dry, added)
    first, second = ((out - dry) / added).astype(float)
    # Where the added band is next to nothing, the quotient is rounding.
    heard = (np.abs(added) > 0.05).all(axis=0)
    assert np.abs(first - second)[heard].max() < 1e-4
    assert first[heard].min() < 0.9


def test_below_the_cutoff_the_input_stays(rng):
    """A gain that varies spreads the added band, but not by more than 200 Hz."""
    noise = rng.normal(0, 0.3, (1, 5 * RATE)).astype(np.float32)
    dry = noise - keep_high_band(noise, 7875)
    dry /= np.abs(dry).max()
    added = keep_high_band(rng.normal(0, 0.1, dry.shape).astype(np.float32), 8000)
    out, limiter = run(dry, added)
    assert limiter.limited.decibels > 3
    assert band(out - dry, 0, 7800) - band(dry, 0, 7800) < -80


def test_samples_that_are_not_scaled_to_1_have_no_limit(sound):
    dry, added = (32768 * samples for samples in sound)
    out, limiter = run(dry, added, peak=float(np.abs(dry).max()))
    assert np.array_equal(out, dry + added)
    assert limiter.limited is None
    assert np.abs(dry).max() > MOST_PEAK
