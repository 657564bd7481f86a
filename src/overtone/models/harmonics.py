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

from array_api_compat import array_namespace, device

from overtone.core.arrays import Array, gather, gather_bins, pad

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

Correlate = Callable[[Array, Array], Array]


def correlation(a: Array, b: Array) -> Array:
    """Compute the circular correlation along the last axis: at lag s the sum over k of ``a[k] b[k - s]``."""
    xp = array_namespace(a)
    size = -(-a.shape[-1] // 128) * 128  # transforms of odd sizes are slow
    product = xp.fft.rfft(a, n=size) * xp.conj(xp.fft.rfft(b, n=size))
    return xp.fft.irfft(product, n=size)


def continue_partials(level: Array, first: Array, bins: Array, correlate: Correlate = correlation) -> Array:
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
    xp, where = array_namespace(level), device(level)
    known = level.shape[-1]
    index, lags = xp.arange(known, device=where), xp.arange(known // 2 + 1, device=where)
    end = xp.clip(first - EDGE, 1, None)[:, None]
    octave = end // 2
    fine = _fine_structure(level, end)
    likeness = correlate(fine * (index >= end - octave)[:, None], fine)[..., : known // 2 + 1]
    smooth = SMOOTH**2 * xp.astype(octave, level.dtype)
    # The energy of the octave, and of what lies beneath it at every lag.
    energy = xp.cumulative_sum(fine**2, axis=-1, include_initial=True)
    above, below = (gather_bins(energy, xp.clip(edge - lags, 0, None)) for edge in (end, end - octave))
    power = xp.clip(above - below, 0, None)
    likeness = likeness / (xp.sqrt(power[..., :1] * power) + smooth[..., None])
    allowed = (lags >= xp.clip(octave // 2, LEAST, None)) & (lags <= octave)
    likeness = xp.where(allowed[:, None], likeness, -1.0)
    best, lag = xp.max(likeness, axis=-1), xp.argmax(likeness, axis=-1)
    strength = xp.clip((best - LEAST_CORRELATION) / (FULL_CORRELATION - LEAST_CORRELATION), 0, 1)
    # By lag, (batch, lags, wanted): the bin that fine structure is taken from, and its factor.
    distance = xp.clip(lags, 1, None)[:, None]
    times = xp.clip((bins - end)[:, None] // distance + 1, 1, None)
    source = xp.clip(bins - times * distance, 0, known - 1)
    left = xp.exp(xp.astype(times - 1, level.dtype) * math.log(DECAY))
    row = xp.arange(first.shape[0], device=where)[:, None]
    return gather(fine * strength[..., None], source[row, lag]) * left[row, lag]


def _fine_structure(level: Array, end: Array) -> Array:
    """Compute the level of bins below an end over the mean of their neighbours, averaged over frames; else 0.

    Shape:
        (batch, frames, bins), (batch, 1) -> (batch, frames, bins).
    """
    xp, count = array_namespace(level), level.shape[-1]
    bins = xp.arange(count, device=device(level))
    inside = xp.astype(bins < end, level.dtype)[:, None]
    steady = _over_frames(level * inside) / _over_frames(xp.ones_like(level[:, :, :1]))
    # The sum over neighbours as a difference of sums from the first bin on.
    least = xp.clip(bins - NEIGHBOURS // 2, 0, None)
    most = xp.clip(bins + NEIGHBOURS // 2 + 1, None, count)
    sums = xp.cumulative_sum(steady, axis=-1, include_initial=True)
    around = xp.take(sums, most, axis=-1) - xp.take(sums, least, axis=-1)
    number = xp.clip(xp.minimum(most, end) - xp.minimum(least, end), 1, None)
    neighbours = around / xp.astype(number, level.dtype)[:, None]
    return xp.clip(steady - neighbours, -VALLEY, PEAK) * inside


def _over_frames(x: Array) -> Array:
    """Sum every frame and REACH frames before and after it. (batch, frames, bins)."""
    padded, count = pad(x, 1, REACH, REACH), x.shape[1]
    total = padded[:, :count] + padded[:, 1 : 1 + count]
    for shift in range(2, 2 * REACH + 1):
        total += padded[:, shift : shift + count]
    return total
