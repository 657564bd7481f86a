"""Metrics of the band above the cutoff: level, flatness, partials, onsets, stereo image.

Conventions: `reference` and `estimate` are float32, full scale = 1, shaped (channels, time) alike, arrays of
NumPy or tensors. `low` and `high` in Hz bound the band, as a rule from the cutoff to the bandwidth of the
reference. Formulas, sources and limits are in docs/metrics.md.
"""

import math
from itertools import pairwise

import numpy as np
from array_api_compat import array_namespace, device, size

from overtone.audio import stft
from overtone.core.arrays import Array

POWER_FLOOR = 1e-8  # of |STFT|^2: below it, two spectra count as equally silent
IMAGE_FLOOR = 1e-9  # added to the mean of |STFT|^2 per channel: a silent band is in the middle, incoherent
# 23 and 6 ms at 44.1 kHz. Shorter frames are more about the grain of noise than about attacks: with 512
# and 128, noise fill on three tracks (cutoff 5.5 kHz) correlates by 0.02, 0.16 and 0.24 in place of 0.06,
# 0.41 and 0.56; with librosa's 2048 and 512 it nears band replication (0.73 and 0.85 on the second).
ONSET_FFT, ONSET_HOP = 1024, 256
# Bins, 710 Hz at 44.1 kHz, over which a bin's neighbours are taken: partials at 350 Hz still stand out of it.
NEIGHBOURS = 33
ONSET_RANGE = 1e-6  # of the loudest band in the reference: 60 dB down, a rise is no onset


def log_power(spectrum: Array) -> Array:
    """Compute the power |X|^2 of a complex spectrum in bels, no lower than POWER_FLOOR."""
    xp = array_namespace(spectrum)
    return xp.log10(xp.clip(power(spectrum), POWER_FLOOR, None))


def power(spectrum: Array) -> Array:
    """Compute the power |X|^2 of a complex spectrum."""
    return spectrum.real**2 + spectrum.imag**2


def total(x: Array) -> float:
    """Sum all elements in float64."""
    xp = array_namespace(x)
    return float(xp.sum(x, dtype=xp.float64))


def mean(x: Array) -> float:
    """Average all elements in float64."""
    return total(x) / size(x)


def bands(low: float, high: float, per_octave: int) -> list[tuple[float, float]]:
    """List the edges in Hz of adjoining bands from low to high, each 1 / per_octave of an octave wide.

    The last band may be narrower; below a quarter of its nominal width it is merged with the one before.
    """
    ratio = 2 ** (1 / per_octave)
    edges = [low]
    while edges[-1] * ratio < high:
        edges.append(edges[-1] * ratio)
    if len(edges) > 1 and high - edges[-1] < edges[-1] * (ratio - 1) / 4:
        edges.pop()
    return list(pairwise([*edges, high]))


def level_error(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute the absolute error in dB of a band's mean power over time and channels."""
    bins = stft.bins_between(low, high, rate)
    levels = []
    for samples in (reference, estimate):
        energy = count = 0.0
        for block in stft.stft_blocks(samples):
            energy += total(power(block[..., bins, :]))
            count += size(block[..., bins, :])
        levels.append(10 * math.log10(max(energy / count, POWER_FLOOR)))
    return abs(levels[1] - levels[0])


def flatness_error(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute the mean absolute error in dB of the spectral flatness in half-octave bands.

    A band's flatness in a frame is the geometric over the arithmetic mean of its bins' power: near 0 dB
    for noise (-2.5 dB on average), far below for a few tones. Bands and frames in which the reference is not
    above POWER_FLOOR are left out.
    """
    chosen = [stft.bins_between(*edges, rate) for edges in bands(low, high, per_octave=2)]
    errors = count = 0.0
    for true, estimated in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for bins in chosen:
            band = true[..., bins, :]
            error = abs(_flatness(estimated[..., bins, :]) - _flatness(band))
            # Not by the floored mean, which may be rounded to above the floor.
            error = error[array_namespace(band).max(power(band), axis=-2) > POWER_FLOOR]
            errors += total(error)
            count += size(error)
    return errors / count if count else 0.0


def _flatness(spectrum: Array) -> Array:
    """Compute the flatness in dB of (..., bins, frames), (..., frames)."""
    xp = array_namespace(spectrum)
    floored = xp.clip(power(spectrum), POWER_FLOOR, None)
    level = xp.mean(floored, axis=-2)
    return 10 * (xp.mean(xp.log10(floored), axis=-2) - xp.log10(level))


def partials_correlation(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute Pearson's correlation of the fine structure of a band, over all its bins and frames.

    The fine structure is the level of a bin in bels minus the mean of its NEIGHBOURS in the band, itself
    included: the height of a partial above its surroundings. Noise and smooth spectra correlate with nothing.
    """
    bins = stft.bins_between(low, high, rate)
    sums = np.zeros(6)
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        true, estimated = (fine_structure(spectrum[..., bins, :]) for spectrum in pair)
        products = (true, estimated, true * true, estimated * estimated, true * estimated)
        sums += [size(true), *map(total, products)]
    count, true_sum, estimated_sum, true_square, estimated_square, both = sums.tolist()
    norms = (true_square - true_sum**2 / count) * (estimated_square - estimated_sum**2 / count)
    return (both - true_sum * estimated_sum / count) / norms**0.5 if norms > 0 else 0.0


def fine_structure(spectrum: Array) -> Array:
    """Compute the level above the mean of the neighbours in bels, (..., bins, frames)."""
    xp = array_namespace(spectrum)
    level = xp.astype(log_power(spectrum), xp.float64)
    count, where = level.shape[-2], device(level)
    least = xp.clip(xp.arange(count, device=where) - NEIGHBOURS // 2, 0, None)
    most = xp.clip(xp.arange(count, device=where) + NEIGHBOURS // 2 + 1, None, count)
    sums = xp.cumulative_sum(level, axis=-2, include_initial=True)
    around = xp.take(sums, most, axis=-2) - xp.take(sums, least, axis=-2)
    return level - around / (most - least)[:, None]


def onset_correlation(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute Pearson's correlation of the onset strengths of a band: 1 if every attack is at its time.

    Onset strength at a frame is the rise of the level in dB since the frame before, falls counting as 0,
    mean over bands of a sixth of an octave. A constant curve has correlation 0.
    """
    true = band_powers(reference, rate, low, high)
    estimated = band_powers(estimate, rate, low, high)
    floor = true.max() * ONSET_RANGE + np.finfo(np.float32).tiny
    levels = [10 * np.log10(np.maximum(powers, floor)) for powers in (true, estimated)]
    curves = [np.maximum(np.diff(level, axis=-1), 0).mean(axis=0) for level in levels]
    first, second = (curve - curve.mean() for curve in curves)
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms > 0 else 0.0


def band_powers(samples: Array, rate: int, low: float, high: float) -> np.ndarray:
    """Compute mean power over bins and channels, (sixths of an octave, frames), float64."""
    bins = [stft.bins_between(*edges, rate, ONSET_FFT) for edges in bands(low, high, per_octave=6)]
    powers = []
    for block in stft.stft_blocks(samples, ONSET_FFT, ONSET_HOP):
        of_bins = np.asarray(power(block)).mean(axis=0, dtype=np.float64)
        powers.append([of_bins[band].mean(axis=0) for band in bins if band.stop > band.start])
    found: np.ndarray = np.concatenate(powers, axis=-1)
    return found


def image_error(reference: Array, estimate: Array, rate: int, low: float, high: float) -> tuple[float, float]:
    """Compute the error of the stereo image in half-octave bands, mean over bands and frames.

    Returns:
        The absolute error of the level difference between left and right in dB, and that of their
        coherence abs(sum(L R*)) / sqrt(sum(abs(L)^2) sum(abs(R)^2)) over a band's bins, from 0 to 1.
    """
    chosen = [stft.bins_between(*edges, rate) for edges in bands(low, high, per_octave=2)]
    errors, count = np.zeros(2), 0
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for bins in chosen:
            true, estimated = (_image(spectrum[:, bins]) for spectrum in pair)
            errors += [total(abs(x - y)) for x, y in zip(true, estimated, strict=True)]
            count += size(true[0])
    level, coherence = (errors / count).tolist()
    return level, coherence


def _image(spectrum: Array) -> tuple[Array, Array]:
    """Compute level difference in dB and coherence of a band, (2, bins, frames), each (frames,)."""
    xp = array_namespace(spectrum)
    powers = xp.mean(power(spectrum), axis=-2) + IMAGE_FLOOR
    cross = xp.abs(xp.mean(spectrum[0] * xp.conj(spectrum[1]), axis=-2))
    return 10 * xp.log10(powers[0] / powers[1]), cross / xp.sqrt(powers[0] * powers[1])
