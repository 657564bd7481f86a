"""The balance of a signal: levels by third octave, whatever its blocks, loudness, rate and pauses."""

import numpy as np
import pytest
import soxr

from overtone.restoration.stream.spectral_balance import BalanceMeter, balance_distance

RATE = 44100
# dB: powers are summed in another order, and the transform of many frames may round otherwise.
SUMMED = 1e-4


def levels(samples, rate=RATE, block=None):
    meter = BalanceMeter(rate)
    block = block or samples.shape[1]
    for start in range(0, samples.shape[1], block):
        meter.add(samples[:, start : start + block])
    return meter.levels()


@pytest.fixture
def noise(rng):
    return rng.normal(0, 0.1, (2, 10 * RATE)).astype(np.float32)


def test_noise_has_one_level_in_every_third_octave(noise):
    found = levels(noise)
    assert len(found) == 23  # from 100 Hz, 7.8 octaves up to 22.05 kHz
    assert np.ptp(found) < 2


def test_blocks_do_not_matter(noise):
    np.testing.assert_allclose(levels(noise), levels(noise, block=1000), atol=SUMMED)


def test_loudness_rate_and_pauses_do_not_matter(noise):
    own = levels(noise)
    resampled = soxr.resample(noise.T, RATE, 16000).T.astype(np.float32)
    paused = np.concatenate([noise, np.zeros_like(noise)], axis=1)
    assert balance_distance(own, levels(0.01 * noise), 8000) < 0.1
    assert balance_distance(own, levels(resampled, 16000), 6000) < 1
    assert balance_distance(own, levels(paused), 8000) < 0.5


def test_a_tilt_of_6_db_an_octave_is_a_distance(noise):
    tilted = np.cumsum(noise, axis=1) / 100
    octaves = np.arange(int(3 * np.log2(80))) / 3
    assert balance_distance(levels(noise), levels(tilted - tilted.mean()), 8000) == pytest.approx(
        np.std(6.02 * octaves), abs=1
    )


def test_what_is_too_short_or_silent_is_infinitely_far(noise):
    assert len(levels(noise[:, :100])) == 0
    assert balance_distance(levels(noise[:, :100]), levels(noise), 8000) == np.inf
    assert balance_distance(levels(noise), levels(noise), 120) == np.inf
    assert len(levels(noise[:, :5000])) == 23
