"""Metrics of the band above the cutoff: level, flatness, partials, onsets, stereo image.

Conventions: `reference` and `estimate` are float32, full scale = 1, shaped (channels, time) alike. `low` and
`high` in Hz bound the band, as a rule from the cutoff to the bandwidth of the reference. Formulas, sources
and limits are in docs/metrics.md.
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
    """Compute the power |X|^2 of a complex spectrum in bels, no lower than POWER_FLOOR."""
    return _power(spectrum).clamp(min=POWER_FLOOR).log10()


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


def level_error(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """Compute the absolute error in dB of a band's mean power over time and channels."""
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
    """Compute the mean absolute error in dB of the spectral flatness in half-octave bands.

    A band's flatness in a frame is the geometric over the arithmetic mean of its bins' power: near 0 dB
    for noise (-2.5 dB on average), far below for a few tones. Bands and frames in which the reference is not
    above POWER_FLOOR are left out.
    """
    chosen = [_within(*edges, rate) for edges in bands(low, high, per_octave=2)]
    total = count = 0.0
    for true, estimated in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for bins in chosen:
            level, flatness = _flatness(true[..., bins, :])
            error = (_flatness(estimated[..., bins, :])[1] - flatness).abs()[level > POWER_FLOOR]
            total += float(error.sum(dtype=torch.float64))
            count += error.numel()
    return total / count if count else 0.0


def _flatness(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean power of (..., bins, frames) over the bins, and the flatness in dB."""
    power = _power(spectrum).clamp(min=POWER_FLOOR)
    level = power.mean(-2)
    return level, 10 * (power.log10().mean(-2) - level.log10())


def partials_correlation(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """Compute Pearson's correlation of the fine structure of a band, over all its bins and frames.

    The fine structure is the level of a bin in bels minus the mean of its NEIGHBOURS in the band, itself
    included: the height of a partial above its surroundings. Noise and smooth spectra correlate with nothing.
    """
    bins = _within(low, high, rate)
    sums = torch.zeros(6, dtype=torch.float64)
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        true, estimated = (_fine_structure(spectrum[..., bins, :]) for spectrum in pair)
        ones = torch.ones_like(true)
        products = (ones, true, estimated, true * true, estimated * estimated, true * estimated)
        sums += torch.stack([product.sum(dtype=torch.float64) for product in products])
    count, true_sum, estimated_sum, true_square, estimated_square, both = sums.tolist()
    norms = (true_square - true_sum**2 / count) * (estimated_square - estimated_sum**2 / count)
    return (both - true_sum * estimated_sum / count) / norms**0.5 if norms > 0 else 0.0


def _fine_structure(spectrum: Tensor) -> Tensor:
    """Compute the level above the mean of the neighbours in bels, (..., bins, frames)."""
    level = log_power(spectrum).double()
    bins = torch.arange(level.shape[-2])
    least, most = (bins - NEIGHBOURS // 2).clamp(min=0), (bins + NEIGHBOURS // 2 + 1).clamp(max=len(bins))
    sums = torch.nn.functional.pad(level.cumsum(-2), (0, 0, 1, 0))
    return level - (sums[..., most, :] - sums[..., least, :]) / (most - least)[:, None]


def onset_correlation(reference: Tensor, estimate: Tensor, rate: int, low: float, high: float) -> float:
    """Compute Pearson's correlation of the onset strengths of a band: 1 if every attack is at its time.

    Onset strength at a frame is the rise of the level in dB since the frame before, falls counting as 0,
    mean over bands of a sixth of an octave. A constant curve has correlation 0.
    """
    true = _band_powers(reference, rate, low, high)
    estimated = _band_powers(estimate, rate, low, high)
    floor = true.max() * ONSET_RANGE + torch.finfo(torch.float32).tiny
    curves = [
        (10 * power.clamp(min=floor).log10()).diff(dim=-1).clamp(min=0).mean(0) for power in (true, estimated)
    ]
    first, second = (curve - curve.mean() for curve in curves)
    norms = float(first.norm() * second.norm())
    return float(first @ second) / norms if norms > 0 else 0.0


def _band_powers(samples: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Compute mean power over bins and channels, (sixths of an octave, frames), float64."""
    hertz = stft.frequencies(rate, ONSET_FFT)
    inside = [
        ((hertz >= least) & (hertz < most)).float()
        for least, most in bands(low, high, per_octave=6)
        if bool(((hertz >= least) & (hertz < most)).any())
    ]
    weights = torch.stack([bins / bins.sum() for bins in inside])
    blocks = stft.stft_blocks(samples, ONSET_FFT, ONSET_HOP)
    return torch.cat([weights @ _power(block).mean(0) for block in blocks], dim=-1).double()


def image_error(
    reference: Tensor, estimate: Tensor, rate: int, low: float, high: float
) -> tuple[float, float]:
    """Compute the error of the stereo image in half-octave bands, mean over bands and frames.

    Returns:
        The absolute error of the level difference between left and right in dB, and that of their
        coherence abs(sum(L R*)) / sqrt(sum(abs(L)^2) sum(abs(R)^2)) over a band's bins, from 0 to 1.
    """
    chosen = [_within(*edges, rate) for edges in bands(low, high, per_octave=2)]
    total = torch.zeros(2, dtype=torch.float64)
    count = 0
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        for true, estimated in _images(pair, chosen):
            total += (true - estimated).abs().sum(-1, dtype=torch.float64)
            count += true.shape[-1]
    level, coherence = (total / count).tolist()
    return level, coherence


def _images(pair: tuple[Tensor, Tensor], chosen: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield, band by band, level difference in dB and coherence of both spectra, each (2, frames)."""
    for bins in chosen:
        found = []
        for spectrum in (channels[:, bins] for channels in pair):
            power = _power(spectrum).mean(-2) + IMAGE_FLOOR
            cross = (spectrum[0] * spectrum[1].conj()).mean(-2).abs()
            level = 10 * (power[0] / power[1]).log10()
            found.append(torch.stack([level, cross / (power[0] * power[1]).sqrt()]))
        yield found


def _within(low: float, high: float, rate: int) -> Tensor:
    return stft.bins_above(low, rate) & ~stft.bins_above(high, rate)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()
