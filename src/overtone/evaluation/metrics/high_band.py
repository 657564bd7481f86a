"""Metrics of the band above the cutoff: level, onsets, tonality, partials, its place between the channels.

`reference` and `estimate` are float32, full scale = 1, shaped (channels, time) alike; `low` and `high` in
Hz bound what is compared, as a rule the cutoff and the bandwidth of the reference. Formulas, sources and
limits are in docs/metrics.md.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from overtone.audio import stft

POWER_FLOOR = 1e-8  # of |STFT|^2: below it, two spectra count as equally silent
IMAGE_FLOOR = 1e-9  # added to the mean of |STFT|^2 per channel: a silent band is in the middle, incoherent
# 23 and 6 ms at 44.1 kHz. Shorter frames are more about the grain of noise than about attacks: with 512
# and 128, noise fill on three tracks (cutoff 5.5 kHz) correlates by 0.02, 0.16 and 0.24 in place of 0.06,
# 0.41 and 0.56; with librosa's 2048 and 512 it nears band replication (0.73 and 0.85 on the second).
ONSET_FFT, ONSET_HOP = 1024, 256
# Bins, 710 Hz at 44.1 kHz, over which a bin's neighbours are taken: partials at 350 Hz still stand out of it.
NEIGHBOURS = 33
ONSET_RANGE = 1e-6  # of the loudest band in the reference: 60 dB down, a rise is no onset


def log_power(spectrum: Tensor) -> Tensor:
    """The power |X|^2 of a complex spectrum in bels, no lower than POWER_FLOOR."""
    return _power(spectrum).clamp(min=POWER_FLOOR).log10()


def bands(low: float, high: float, per_octave: int) -> list[tuple[float, float]]:
    """Edges in Hz of adjoining bands from low to high, each a part of an octave wide but the last.

    A last band under a quarter of the width that it should have goes to the one before.
    """
    ratio = 2 ** (1 / per_octave)
    edges = [low]
    while edges[-1] * ratio < high:
        edges.append(edges[-1] * ratio)
    if len(edges) > 1 and high - edges[-1] < edges[-1] * (ratio - 1) / 4:
        edges.pop()
    return list(pairwise([*edges, high]))


def level_error(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """How far the level of a band, over all time and channels, is off: an absolute difference in dB."""
    bins = _within(low, high, rate)
    levels = []
    for samples in (reference, estimate):
        total = count = 0.0
        for block in stft.stft_blocks(samples):
            power = _power(block[..., bins, :])
            total += float(power.sum(dtype=torch.float64))
            count += power.numel()
        levels.append(10 * torch.tensor(max(total / count, POWER_FLOOR), dtype=torch.float64).log10())
    return float((levels[1] - levels[0]).abs())


def flatness_error(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """How far the spectral flatness is off in half-octave bands: a mean absolute difference in dB.

    A band's flatness in a frame is the geometric over the arithmetic mean of its bins' power: near 0 dB
    for noise (-2.5 dB on average), far below for a few tones. Only bands and frames count in which the
    reference is above POWER_FLOOR.
    """
    chosen = [_within(*edges, rate) for edges in bands(low, high, per_octave=2)]
    total = count = 0.0
    for true, made in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for bins in chosen:
            level, flatness = _flatness(true[..., bins, :])
            error = (_flatness(made[..., bins, :])[1] - flatness).abs()[level > POWER_FLOOR]
            total += float(error.sum(dtype=torch.float64))
            count += error.numel()
    return total / count if count else 0.0


def _flatness(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """The mean power of (..., bins, frames), and its flatness in dB."""
    power = _power(spectrum).clamp(min=POWER_FLOOR)
    level = power.mean(-2)
    return level, 10 * (power.log10().mean(-2) - level.log10())


def partials_correlation(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """Pearson's correlation of the fine structure of a band, over all its bins and frames.

    Fine structure is a bin's level in bels less the mean of its NEIGHBOURS in the band, itself included: what
    partials stand out by. Noise correlates with nothing, and a smooth spectrum neither.
    """
    bins = _within(low, high, rate)
    sums = torch.zeros(6, dtype=torch.float64)
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        true, made = (_fine_structure(part[..., bins, :]) for part in pair)
        ones = torch.ones_like(true)
        products = (ones, true, made, true * true, made * made, true * made)
        sums += torch.stack([product.sum(dtype=torch.float64) for product in products])
    count, true_sum, made_sum, true_square, made_square, both = sums.tolist()
    norms = (true_square - true_sum**2 / count) * (made_square - made_sum**2 / count)
    return (both - true_sum * made_sum / count) / norms**0.5 if norms > 0 else 0.0


def _fine_structure(spectrum: Tensor) -> Tensor:
    """Level over the mean of the neighbours in bels, (..., bins, frames)."""
    level = log_power(spectrum).double()
    bins = torch.arange(level.shape[-2])
    least, most = (bins - NEIGHBOURS // 2).clamp(min=0), (bins + NEIGHBOURS // 2 + 1).clamp(max=len(bins))
    sums = torch.nn.functional.pad(level.cumsum(-2), (0, 0, 1, 0))
    return level - (sums[..., most, :] - sums[..., least, :]) / (most - least)[:, None]


def onset_correlation(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """Pearson's correlation of the onset strengths of a band: 1 where every attack is in its place.

    Onset strength at a frame is the rise of the level in dB since the frame before, falls counting as 0,
    mean over bands of a sixth of an octave. A curve without any change correlates with 0.
    """
    true = _band_powers(reference, rate, low, high)
    made = _band_powers(estimate, rate, low, high)
    floor = true.max() * ONSET_RANGE + torch.finfo(torch.float32).tiny
    curves = [
        (10 * power.clamp(min=floor).log10()).diff(dim=-1).clamp(min=0).mean(0) for power in (true, made)
    ]
    first, second = (curve - curve.mean() for curve in curves)
    norms = float(first.norm() * second.norm())
    return float(first @ second) / norms if norms > 0 else 0.0


def _band_powers(samples: Tensor, rate: int, low: float, high: float) -> Tensor:
    """(sixths of an octave, frames): mean power over bins and channels, float64."""
    hertz = stft.frequencies(rate, ONSET_FFT)
    rows = [
        ((hertz >= least) & (hertz < most)).float()
        for least, most in bands(low, high, per_octave=6)
        if bool(((hertz >= least) & (hertz < most)).any())
    ]
    weights = torch.stack([row / row.sum() for row in rows])
    parts = [weights @ _power(b).mean(0) for b in stft.stft_blocks(samples, ONSET_FFT, ONSET_HOP)]
    return torch.cat(parts, dim=-1).double()


def image_error(
    reference: Tensor, estimate: Tensor, rate: int, low: float, high: float
) -> tuple[float, float]:
    """How far the stereo image of two channels is off, in half-octave bands, mean over bands and frames.

    Returns:
        The absolute error of the level difference between left and right in dB, and that of their
        coherence abs(sum(L R*)) / sqrt(sum(abs(L)^2) sum(abs(R)^2)) over a band's bins, from 0 to 1.
    """
    chosen = [_within(*edges, rate) for edges in bands(low, high, per_octave=2)]
    total = torch.zeros(2, dtype=torch.float64)
    count = 0
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for true, made in _images(pair, chosen):
            total += (true - made).abs().sum(-1, dtype=torch.float64)
            count += true.shape[-1]
    level, coherence = (total / count).tolist()
    return level, coherence


def _images(pair: tuple[Tensor, Tensor], chosen: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield, band by band, level difference in dB and coherence of both spectra, each (2, frames)."""
    for bins in chosen:
        found = []
        for spectrum in (part[:, bins] for part in pair):
            power = _power(spectrum).mean(-2) + IMAGE_FLOOR
            cross = (spectrum[0] * spectrum[1].conj()).mean(-2).abs()
            level = 10 * (power[0] / power[1]).log10()
            found.append(torch.stack([level, cross / (power[0] * power[1]).sqrt()]))
        yield found


def _within(low: float, high: float, rate: int) -> Tensor:
    return stft.bins_above(low, rate) & ~stft.bins_above(high, rate)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()
