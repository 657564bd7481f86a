"""Published definitions of the log-spectral distance: what gains and silence are worth under each."""

import math

import numpy as np
import pytest

from overtone.evaluation.metrics import published_lsd

RATE = 48_000


def noise(amplitude=0.1):
    drawn = np.random.default_rng(0).normal(0, amplitude, (2, 2 * RATE))
    return drawn.astype(np.float32)


@pytest.mark.parametrize("decibels", [-6.0, 3.0])
def test_a_gain_is_its_bels(decibels):
    louder = noise() * np.float32(10 ** (decibels / 20))
    expected = abs(decibels) / 10
    assert published_lsd.universr(noise(), louder, RATE, 8000) == pytest.approx(expected, abs=1e-3)
    assert published_lsd.ssr_eval(noise(), louder, RATE) == pytest.approx(expected, abs=1e-3)


def test_universr_floors_the_power_at_a_millionth_and_ssr_eval_hardly():
    # White noise of deviation s: a bin's power has the mean s^2 sum(w^2) = 0.01 * 384 with 1024 points and
    # 0.01 * 768 with 2048. The deviation of log10 of an exponential distribution is pi / sqrt(6) / ln 10.
    mean = -0.5772157 / math.log(10)
    spread = math.pi / math.sqrt(6) / math.log(10)
    found = published_lsd.universr(noise(), 0 * noise(), RATE, 8000)
    level = math.log10(0.01 * 384) + mean + 6
    # Frames at the ends are half empty.
    assert found == pytest.approx(math.hypot(level, spread), rel=0.01)
    level = math.log10(0.01 * 768) + mean + 24
    assert published_lsd.ssr_eval(noise(), 0 * noise(), RATE) == pytest.approx(level, rel=0.01)


def test_universr_counts_from_the_cutoff_to_nyquist_alone():
    low = noise()
    time = np.arange(low.shape[1]) / RATE
    tone = (0.2 * np.sin(2 * np.pi * 1000 * time) * np.hanning(len(time))).astype(np.float32)
    assert published_lsd.universr(low, low + tone, RATE, 8000) < 0.01


def test_frames_are_averaged_after_their_root():
    """Half of the time 2 bels off are 1 on average, where the root of the mean square is 1.41."""
    half = noise()
    half[:, RATE:] *= 10
    assert published_lsd.universr(noise(), half, RATE, 8000) == pytest.approx(1, abs=0.02)
    assert published_lsd.ssr_eval(noise(), half, RATE) == pytest.approx(1, abs=0.02)
