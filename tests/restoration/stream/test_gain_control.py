"""The envelope that gain control divides by: smooth, near the peaks, the same whatever the blocks."""

import numpy as np
import pytest

from overtone.core.arrays import hann_window
from overtone.restoration.stream.gain_control import FLOOR, HOP, REACH, TARGET, Envelope, GainControl

# How far off a change of level is not seen any more: blocks looked at, those smoothed over, and its own.
FAR = (2 * REACH + 1) * HOP
# Relative: a convolution sums in another order at another length or on another processor. Its sums are the
# logarithms of levels, 7 at most, so that a few float32 roundings (1.2e-7 of that) are some 1e-6 of a level.
CUT_TOLERANCE = 1e-5


def levels(samples):
    return Envelope()(samples, True)


@pytest.fixture
def swelling():
    """Noise from nothing to full scale and back, (1, time)."""
    noise = np.random.default_rng(1).uniform(-1, 1, (1, 300_000)).astype(np.float32)
    return noise * hann_window(300_000) ** 4


@pytest.mark.parametrize("cuts", [(1,), (10, 50_000, 50_001), tuple(range(0, 300_000, 4096))], ids=len)
def test_the_envelope_does_not_depend_on_the_blocks(swelling, cuts):
    meter = Envelope()
    parts = np.split(swelling, cuts, axis=1)
    made = [meter(part, False) for part in parts[:-1]] + [meter(parts[-1], True)]
    np.testing.assert_allclose(np.concatenate(made, axis=1), levels(swelling), rtol=CUT_TOLERANCE, atol=0)


def test_it_lags_by_no_more_than_is_said(swelling):
    meter, behind, most = Envelope(), 0, 0
    for part in np.split(swelling, 300, axis=1):
        behind += part.shape[1] - meter(part, False).shape[1]
        most = max(most, behind)
    assert 0.8 * Envelope.latency < most <= Envelope.latency


@pytest.mark.parametrize("count", [1, 100, HOP // 2, HOP, HOP + 1, 3 * HOP])
def test_a_steady_signal_has_its_peak_as_level_to_both_ends(count):
    made = levels(np.full((1, count), -0.25, np.float32))
    assert made.shape == (1, count)
    assert np.allclose(made, 0.25)


def test_it_follows_a_fall_and_a_rise_and_is_loud_in_time():
    samples = np.full((1, 60 * HOP), 0.01, np.float32)
    samples[:, 20 * HOP : 40 * HOP] = 1
    made = levels(samples)[0]
    assert np.allclose(made[: 20 * HOP - FAR], 0.01)
    assert np.allclose(made[40 * HOP + FAR :], 0.01)
    # The rise lies before the sound, the fall behind it.
    assert made[20 * HOP + HOP // 2 : 40 * HOP - HOP // 2].min() > 0.99
    assert made[20 * HOP : 40 * HOP].min() > 0.5
    steps = np.abs(np.diff(np.log(made))).max() * 20 / np.log(10)
    assert 0 < steps < 0.01  # dB a sample


def test_silence_and_what_is_near_it_is_lifted_no_further():
    assert np.allclose(levels(np.zeros((1, 50_000), np.float32)), FLOOR)
    assert np.allclose(levels(np.full((1, 50_000), FLOOR / 10, np.float32)), FLOOR)


def test_the_networks_input_is_level_and_its_output_is_brought_back(swelling):
    gain_control, waiting = GainControl(), np.zeros((1, 0), np.float32)
    raised, back = [], []
    for number, part in enumerate(np.split(swelling, range(7000, 300_000, 7000), axis=1)):
        last = number == 42
        raised.append(gain_control.apply(part, last))
        # A network lags behind.
        waiting = np.concatenate([waiting, raised[-1]], axis=1)
        ready = waiting.shape[1] if last else max(waiting.shape[1] - 3000, 0)
        back.append(gain_control.undo(waiting[:, :ready]))
        waiting = waiting[:, ready:]
    assert np.allclose(np.concatenate(back, axis=1), swelling, rtol=1e-5, atol=0)
    before, after = (
        np.abs(samples[0, 50_000:250_000]).reshape(-1, 10_000).max(axis=1)
        for samples in (swelling, np.concatenate(raised, axis=1))
    )
    assert before.max() > 50 * before.min()
    assert 0.2 * TARGET < after.min() < after.max() < 1.1 * TARGET
