"""Roll-offs of filters that are known, measured in noise with a spectrum like music's."""

import numpy as np
import pytest
import soxr
from scipy import signal

from overtone.audio.cutoff import SpectrumMeter
from overtone.audio.rolloff import Rolloff

RATE = 44100


@pytest.fixture
def noise(rng):
    """Ten seconds that fall by 6 dB an octave from 1 kHz on, (1, time)."""
    spectrum = np.fft.rfft(rng.normal(0, 0.1, (1, 10 * RATE)))
    hertz = np.fft.rfftfreq(10 * RATE, 1 / RATE)
    return np.fft.irfft(spectrum / np.maximum(hertz / 1000, 1)).astype(np.float32)


def measured(samples, cutoff):
    meter = SpectrumMeter(RATE)
    meter.add(samples.astype(np.float32))
    return meter.rolloff(cutoff)


@pytest.mark.parametrize("corner", [3000, 8000])
@pytest.mark.parametrize("order", [8, 12, 20])
def test_of_a_butterworth_filter_corner_and_order_are_found(noise, corner, order):
    low = signal.sosfilt(signal.butter(order, corner, fs=RATE, output="sos"), noise)
    found = measured(low, 0.98 * corner)
    assert found.corner == pytest.approx(corner, rel=0.03)
    # The bilinear transform makes a digital filter fall faster.
    assert 0.7 * order < found.order < 1.8 * order
    assert found.reaches(1) == pytest.approx(corner * (10**0.1 - 1) ** (1 / 2 / order), rel=0.05)


@pytest.mark.parametrize("low_rate", [8000, 16000, 22050])
def test_of_a_resampler_the_loss_is_found_within_three_bins(noise, low_rate):
    there = soxr.resample(noise.T, RATE, low_rate, quality="VHQ")
    found = measured(soxr.resample(there, low_rate, RATE, quality="VHQ").T, 0.94 * low_rate / 2)
    assert found.corner == pytest.approx(0.946 * low_rate / 2, abs=3 * RATE / 4096)
    assert found.order > 50


def test_where_nothing_falls_there_is_none(noise):
    assert measured(noise, 8000) is None
    assert SpectrumMeter(RATE).rolloff(8000) is None


def test_the_loss_is_a_butterworth_filters():
    hertz, rolloff = np.array([2000.0, 4000.0, 5000.0]), Rolloff(4000.0, 10)
    _, response = signal.freqs(*signal.butter(10, 4000, analog=True), worN=hertz)
    assert rolloff.loss(hertz) == pytest.approx(-20 * np.log10(np.abs(response)), abs=1e-3)
    assert rolloff.loss(np.array([rolloff.reaches(1)])) == pytest.approx([1.0])
