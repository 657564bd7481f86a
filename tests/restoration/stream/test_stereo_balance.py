import numpy as np
import pytest

from overtone.restoration.stream import stereo_balance
from overtone.restoration.stream.stereo_balance import HOP, StereoBalance

RATE, CUTOFF = 44100, 6000
# Of a gain, 1 at most: transforms of another number of frames round differently, by some 1e-7 of a power.
CUT_TOLERANCE = 1e-6


@pytest.fixture
def stereo(rng):
    """Sound of both channels, (2, time), the right one 40 dB under the left from the middle on."""
    samples = rng.normal(0, 0.1, (2, 40 * HOP + 77)).astype(np.float32)
    samples[1, 20 * HOP :] *= 0.01
    return samples


@pytest.fixture
def added(rng, stereo):
    return rng.normal(0, 0.1, stereo.shape).astype(np.float32)


def balance(added, samples, *cuts):
    stream = StereoBalance(CUTOFF, RATE)
    ends = [*cuts, added.shape[1]]
    parts = [
        stream.apply(added[:, start:end], samples[:, start:end], end == ends[-1])
        for start, end in zip([0, *cuts], ends, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def test_a_far_quieter_channel_is_attenuated_and_the_louder_one_is_not(added, stereo):
    out = balance(added, stereo)
    assert np.array_equal(out[0], added[0])
    assert np.array_equal(out[1, : 18 * HOP], added[1, : 18 * HOP])
    quiet = slice(22 * HOP, 38 * HOP)
    gain = 20 * np.log10(np.abs(out[1, quiet]).mean() / np.abs(added[1, quiet]).mean())
    assert gain == pytest.approx(stereo_balance.MARGIN - 40, abs=1)


def test_a_silent_channel_stays_silent(added, stereo):
    stereo[1] = 0
    out = balance(added, stereo)
    assert not out[1].any()
    np.testing.assert_allclose(balance(added[::-1], stereo[::-1]), out[::-1], atol=CUT_TOLERANCE)


def test_it_goes_by_the_octave_below_the_cutoff(added, rng):
    time = np.arange(added.shape[1]) / RATE
    low, high = (0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (300, 5000))
    samples = np.stack([0.001 * low + high, low + 0.001 * high]).astype(np.float32)
    out = balance(added, samples)
    middle = slice(2 * HOP, -2 * HOP)
    assert np.array_equal(out[0, middle], added[0, middle])
    assert np.abs(out[1, middle]).mean() < 0.01 * np.abs(added[1, middle]).mean()


@pytest.mark.parametrize("cuts", [(1, 2, 3), (HOP, 2 * HOP), (17 * HOP + 5, 30 * HOP), (40 * HOP + 76,)])
def test_the_blocks_do_not_matter(added, stereo, cuts):
    np.testing.assert_allclose(balance(added, stereo, *cuts), balance(added, stereo), atol=CUT_TOLERANCE)


@pytest.mark.parametrize("length", [0, 1, HOP - 1, HOP, HOP + 1, 2 * HOP])
def test_every_sample_comes_out(length):
    ones = np.ones((2, length), np.float32)
    assert np.array_equal(balance(ones, ones), ones)


def test_it_lags_by_no_more_than_its_latency():
    stream, ones = StereoBalance(CUTOFF, RATE), np.ones((2, 100), np.float32)
    lag = most = 0
    for _ in range(200):
        lag += 100 - stream.apply(ones, ones, False).shape[1]
        most = max(most, lag)
    assert HOP < most <= StereoBalance.latency
