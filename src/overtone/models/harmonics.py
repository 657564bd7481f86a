"""Continue partials above the cutoff: extrapolate the fine structure of a spectrum at its period.

A spectrum of evenly spaced partials correlates with itself at a lag of their spacing, or of a multiple. For
each frame, find the lag (in bins) at which the octave below the cutoff best correlates with the spectrum
beneath it, and repeat the fine structure above the cutoff at that lag, weighted by the correlation::

    level over neighbours
       |   |   |   | . |   |   |         lag of 1 partial or more, whichever correlates best
      _|___|___|___|_._|___|___|__
       below the cutoff . above

Fine structure copied from the octave below at a fixed lag is uncorrelated with the original's (0.02 at 4 kHz
and 0.00 at 8 kHz); at the lag that is found, the correlation is 0.10 and 0.06, and 0.3 to 0.4 where the music
is tonal (docs/experiments.md, 31).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# Bins, 710 Hz, over which a bin's neighbours are averaged: partials 350 Hz apart still stand out.
NEIGHBOURS = 33
# Frames on each side over which levels are averaged: partials remain, changes from frame to frame vanish.
REACH = 3
# Bins below the cutoff that a low-pass may already have attenuated.
EDGE = 3
# The smallest lag in bins, 215 Hz: at smaller ones noise correlates too often by chance.
LEAST = 10
# The correlation from which fine structure is continued, and from which all of it is. White noise reaches
# 0.24 and 0.19 in the median, 0.39 and 0.28 in one frame of a hundred, at 4 and 8 kHz.
LEAST_CORRELATION, FULL_CORRELATION = 0.3, 0.55
# Limits of a bin's level over its neighbours, up and down, as log10: 20 and 6 dB. A single tone would decide
# alone otherwise; deeper valleys between partials are mostly holes of a codec.
PEAK, VALLEY = 1.0, 0.3
# Factor of the fine structure, as a power, for every repetition of the lag.
DECAY = 0.7
# Bins whose level differs from their neighbours' by less than this, as log10, count as a smooth spectrum.
SMOOTH = 0.03

Correlate = Callable[[Tensor, Tensor], Tensor]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Compute the circular correlation along the last axis: at lag s the sum over k of ``a[k] b[k - s]``."""
    size = -(-a.shape[-1] // 128) * 128  # transforms of odd sizes are slow
    product = torch.fft.rfft(a, n=size) * torch.fft.rfft(b, n=size).conj()
    lags: Tensor = torch.fft.irfft(product, n=size)
    return lags


def continue_partials(
    level: Tensor, first: Tensor, bins: Tensor, correlate: Correlate = correlation
) -> Tensor:
    """Extrapolate the level of bins above the cutoff over their neighbours, as log10 of a factor.

    Args:
        level: log10 of magnitudes, (batch, frames, known): of all bins below ``first``, or of more. The
            result for REACH frames at both ends is that of a signal that begins and ends there.
        first: (batch,), the first bin above the cutoff.
        bins: (wanted,), for which bins; the result for bins below ``first`` has no meaning.
        correlate: another `correlation`, for callers that have no transforms.

    Returns:
        (batch, frames, wanted).
    """
    known = level.shape[-1]
    index, lags = torch.arange(known, device=level.device), torch.arange(known // 2 + 1, device=level.device)
    end = (first - EDGE).clamp_min(1)[:, None]
    octave = end // 2
    fine = _fine_structure(level, end)
    likeness = correlate(fine * (index >= end - octave)[:, None], fine)[..., : len(lags)]
    # The energy of the octave, and of what lies beneath it at every lag.
    energy = nn.functional.pad(fine.square().cumsum(-1), (1, 0))
    above, below = ((edge - lags).clamp_min(0)[:, None] for edge in (end, end - octave))
    shape = (*level.shape[:2], len(lags))
    power = (energy.gather(2, above.expand(shape)) - energy.gather(2, below.expand(shape))).clamp_min(0)
    likeness = likeness / ((power[..., :1] * power).sqrt() + SMOOTH**2 * octave[..., None])
    allowed = (lags >= (octave // 2).clamp_min(LEAST)) & (lags <= octave)
    best, lag = likeness.masked_fill(~allowed[:, None], -1.0).max(-1)
    strength = ((best - LEAST_CORRELATION) / (FULL_CORRELATION - LEAST_CORRELATION)).clamp(0, 1)
    # By lag, (batch, lags, wanted): the bin that fine structure is taken from, and its factor.
    distance = lags.clamp_min(1)[:, None]
    times = ((bins - end)[:, None] // distance + 1).clamp_min(1)
    source, left = (bins - times * distance).clamp(0, known - 1), ((times - 1) * math.log(DECAY)).exp()
    row = torch.arange(first.shape[0], device=level.device)[:, None]
    return (fine * strength[..., None]).gather(2, source[row, lag]) * left[row, lag]


def _fine_structure(level: Tensor, end: Tensor) -> Tensor:
    """Compute the level of bins below an end over the mean of their neighbours, averaged over frames; else 0.

    Shape:
        (batch, frames, bins), (batch, 1) -> (batch, frames, bins).
    """
    bins = torch.arange(level.shape[-1], device=level.device)
    inside = (bins < end).to(level.dtype)[:, None]
    steady = _over_frames(level * inside) / _over_frames(torch.ones_like(level[:, :, :1]))
    # The sum over neighbours as a difference of sums from the first bin on.
    least, most = (bins - NEIGHBOURS // 2).clamp_min(0), (bins + NEIGHBOURS // 2 + 1).clamp_max(len(bins))
    sums = nn.functional.pad(steady.cumsum(-1), (1, 0))
    around = sums[..., most] - sums[..., least]
    count = (torch.minimum(most, end) - torch.minimum(least, end)).clamp_min(1)[:, None]
    return (steady - around / count).clamp(-VALLEY, PEAK) * inside


def _over_frames(x: Tensor) -> Tensor:
    """Sum every frame and REACH frames before and after it. (batch, frames, bins)."""
    padded, count = nn.functional.pad(x, (0, 0, REACH, REACH)), x.shape[1]
    total = padded[:, :count] + padded[:, 1 : 1 + count]
    for shift in range(2, 2 * REACH + 1):
        total += padded[:, shift : shift + count]
    return total
