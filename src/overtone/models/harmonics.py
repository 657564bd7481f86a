"""Harmonics above the cutoff: the fine structure of a spectrum, gone on as it repeats itself below.

A spectrum of partials at even distances lies on itself when it is moved by that distance, or by several.
The distance with which the octave below the cutoff lies best on what is under it is looked for in every
frame; the fine structure goes on above at that distance, as far as it was found to repeat itself::

    level over neighbours
       |   |   |   | . |   |   |         move by 1 partial or more, whatever is most alike
      _|___|___|___|_._|___|___|__
       below the cutoff . above

Copied from the octave below as it lies there, fine structure has nothing to do with the original's (a
correlation of 0.02 at 4 kHz and 0.00 at 8 kHz); at the distance that is found, 0.10 and 0.06, and 0.3 to 0.4
where the music is tonal (docs/experiments.md, 31).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# Bins, 710 Hz, over which the neighbours' level is taken: partials at 350 Hz still stand out of it.
NEIGHBOURS = 33
# Frames to each side over which levels are averaged: partials stay, what changes by the frame goes.
REACH = 3
# Bins below the cutoff that a low-pass may already have pulled down.
EDGE = 3
# The smallest distance in bins, 215 Hz: under it noise is too often alike by chance.
LEAST = 10
# Likeness, a correlation, from which fine structure goes on, and from which all of it does. White noise
# reaches 0.24 and 0.19 in the median, 0.39 and 0.28 in one frame of a hundred, at 4 and 8 kHz.
ALIKE, SAME = 0.3, 0.55
# Most that a bin may stick out by, up and down, in tenfold magnitudes: 20 and 6 dB. One tone alone would
# decide by itself; what lies deeper between partials is as a rule a codec's hole.
PEAK, VALLEY = 1.0, 0.3
# What is left of it, as a power, each time that the part below the cutoff has been used up.
DECAY = 0.7
# Bins that stick out by less than this, in tenfold magnitudes, are a smooth spectrum.
SMOOTH = 0.03

Correlate = Callable[[Tensor, Tensor], Tensor]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation along the last axis: at lag s the sum over k of ``a[k] b[k - s]``; lags come round."""
    size = -(-a.shape[-1] // 128) * 128  # transforms of odd sizes are slow
    product = torch.fft.rfft(a, n=size) * torch.fft.rfft(b, n=size).conj()
    lags: Tensor = torch.fft.irfft(product, n=size)
    return lags


def continue_partials(
    level: Tensor, first: Tensor, bins: Tensor, correlate: Correlate = correlation
) -> Tensor:
    """How far bins above the cutoff stick out of their neighbours, as log10 of a factor.

    Args:
        level: log10 of magnitudes, (batch, frames, heard): of all bins below the first that are made anew, or
            of more. Of REACH frames at both ends the result is as if the signal began and ended there.
        first: (batch,), the first bin that is made anew.
        bins: (asked,), for which bins to say it; what it says of bins below the first has no meaning.
        correlate: what `correlation` does, for who has no transforms.

    Returns:
        (batch, frames, asked).
    """
    heard = level.shape[-1]
    at, lags = torch.arange(heard, device=level.device), torch.arange(heard // 2 + 1, device=level.device)
    end = (first - EDGE).clamp_min(1)[:, None]
    octave = end // 2
    fine = _fine_structure(level, end)
    alike = correlate(fine * (at >= end - octave)[:, None], fine)[..., : len(lags)]
    # The octave's energy, and that of what it is laid over at each lag.
    energy = nn.functional.pad(fine.square().cumsum(-1), (1, 0))
    above, below = ((edge - lags).clamp_min(0)[:, None] for edge in (end, end - octave))
    shape = (*level.shape[:2], len(lags))
    power = (energy.gather(2, above.expand(shape)) - energy.gather(2, below.expand(shape))).clamp_min(0)
    alike = alike / ((power[..., :1] * power).sqrt() + SMOOTH**2 * octave[..., None])
    allowed = (lags >= (octave // 2).clamp_min(LEAST)) & (lags <= octave)
    likeness, lag = alike.masked_fill(~allowed[:, None], -1.0).max(-1)
    strength = ((likeness - ALIKE) / (SAME - ALIKE)).clamp(0, 1)
    # By distance, (batch, lags, asked): where a bin's fine structure is taken from, and what is left of it.
    distance = lags.clamp_min(1)[:, None]
    times = ((bins - end)[:, None] // distance + 1).clamp_min(1)
    source, left = (bins - times * distance).clamp(0, heard - 1), ((times - 1) * math.log(DECAY)).exp()
    row = torch.arange(first.shape[0], device=level.device)[:, None]
    return (fine * strength[..., None]).gather(2, source[row, lag]) * left[row, lag]


def _fine_structure(level: Tensor, end: Tensor) -> Tensor:
    """Level of the bins below an end over the mean of their neighbours, averaged over frames; else 0.

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
    """Sums of each frame and REACH before and after it. (batch, frames, bins)."""
    padded, count = nn.functional.pad(x, (0, 0, REACH, REACH)), x.shape[1]
    total = padded[:, :count] + padded[:, 1 : 1 + count]
    for shift in range(2, 2 * REACH + 1):
        total += padded[:, shift : shift + count]
    return total
