"""spectral_bands and what it stands on: the same numbers by NumPy as by PyTorch."""

import numpy as np
import pytest
import torch

from overtone.core import arrays
from overtone.core.arrays import hann_window
from overtone.models import harmonics, spectral_bands, spectral_frames
from overtone.models.spectral_frames import BINS, HOP, N_FFT

# Both in float32. PyTorch adds up in float64 before it rounds, NumPy does not: a running sum of 400 levels,
# of which neighbours are differences, is off by 1e-5 of a level, and its exponential by as much.
TOLERANCE = 1e-4


@pytest.fixture
def samples():
    """Partials and a little noise, (2, time), float32."""
    seconds = np.arange(30 * HOP) / 44100
    partials = sum(np.sin(2 * np.pi * 440 * k * seconds) for k in range(1, 12)) / 10
    noise = np.random.default_rng(0).normal(0, 1e-3, (2, len(seconds)))
    return (partials + noise).astype(np.float32)


def both(function, *arrays, **options):
    """The results of NumPy and of PyTorch, in float32, as NumPy arrays."""
    by_torch = function(*(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in arrays), **options)
    return function(*arrays, **options), by_torch


def assert_same(by_numpy, by_torch):
    assert isinstance(by_numpy, np.ndarray)
    assert by_numpy.dtype in (np.float32, np.complex64)
    scale = np.abs(by_numpy).max()
    np.testing.assert_allclose(by_torch.numpy() / scale, by_numpy / scale, atol=TOLERANCE)


@pytest.fixture
def spectrum(samples):
    return spectral_frames.analyse(samples, hann_window(N_FFT))


@pytest.mark.parametrize("first", [[186, 372], [372, 372]], ids=["two", "one"])
def test_every_step_gives_the_same_by_either_library(samples, spectrum, first):
    first = np.array(first)
    assert_same(*both(spectral_frames.analyse, samples, hann_window(N_FFT)))
    below = np.ascontiguousarray(spectrum[..., : first.max()])
    for by_numpy, by_torch in zip(*both(spectral_bands.measure_levels, below, first), strict=True):
        assert_same(by_numpy, by_torch)
    lowest = int(first.min())
    change = np.random.default_rng(1).normal(0, 0.1, (2, below.shape[1], BINS - lowest)).astype(np.float32)
    octave = spectral_bands.measure_levels(below, first).octave
    assert_same(*both(spectral_bands.magnitudes, change, octave, first, lowest))
    assert_same(*both(spectral_bands.fine_structure, below, first, power=1.0))
    magnitude = spectral_bands.magnitudes(change, octave, first, lowest)
    assert_same(*both(spectral_bands.reconstruct, below, magnitude, first, start=3))


def test_frames_are_put_together_the_same(spectrum):
    window = hann_window(N_FFT)
    by_numpy, by_torch = both(spectral_frames.synthesize, spectrum, window)
    assert_same(by_numpy, by_torch)
    inside = slice(N_FFT, 4 * N_FFT)
    added = both(spectral_frames.overlap_add_windowed, by_numpy, window, inside=inside)
    assert_same(*added)


def test_frames_of_an_unchanged_spectrum_are_the_signal(samples, spectrum):
    window = hann_window(N_FFT)
    inside = slice(N_FFT, samples.shape[1] - N_FFT)
    frames = spectral_frames.synthesize(spectrum, window)
    back = spectral_frames.overlap_add_windowed(frames, window, inside)
    np.testing.assert_allclose(back, samples[:, inside], atol=1e-6)


def test_correlation_is_the_same():
    a, b = np.random.default_rng(2).normal(size=(2, 3, 300)).astype(np.float32)
    assert_same(*both(harmonics.correlation, a, b))


def test_the_first_bin_is_the_one_at_or_above_the_cutoff():
    cutoffs = np.array([4000.0, 372 * 44100 / 2048, 1.0, 30_000.0], np.float32)
    by_numpy, by_torch = both(spectral_bands.first_bin, cutoffs)
    assert by_numpy.tolist() == by_torch.tolist() == [186, 372, 4, BINS - 1]


def test_windowed_frames_are_transformed_in_blocks_of_any_number():
    frames = np.random.default_rng(3).normal(size=(2, 300, 64)).astype(np.float32)
    by_numpy, by_torch = both(arrays.windowed_rfft, frames, hann_window(64))
    assert_same(by_numpy, by_torch)
    np.testing.assert_allclose(by_numpy, np.fft.rfft(frames * hann_window(64)), atol=1e-5)
