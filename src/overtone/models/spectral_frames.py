"""Transform signals to frames and back, and give new bins above a cutoff phases from below it.

Arrays are PyTorch's or NumPy's (`overtone.core.arrays`).
"""

import math

from array_api_compat import array_namespace, device

from overtone.core.arrays import Array, frames, gather_bins, pad, windowed_rfft

N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
# Hops of a frame.
HOPS = N_FFT // HOP
# Log magnitudes are floored here: -114 dB for a full-scale tone, under 16-bit quantisation noise.
FLOOR = 1e-3


def analyse(samples: Array, window: Array) -> Array:
    """Transform (batch, time) to complex (batch, frames, BINS): all frames that lie inside."""
    return windowed_rfft(frames(samples, N_FFT, HOP), window)


def synthesize(spectrum: Array, window: Array) -> Array:
    """Transform (batch, frames, BINS) back to windowed frames of samples, (batch, frames, N_FFT)."""
    samples = array_namespace(spectrum).fft.irfft(spectrum, n=N_FFT)
    # In place: a new array of this size takes several times as long as the product.
    samples *= window
    return samples


def overlap_add(windowed: Array) -> Array:
    """Add up frames (batch, frames, N_FFT) that are HOP samples apart, to (batch, time).

    On a processor, torch.istft takes several times as long for this.
    """
    xp = array_namespace(windowed)
    hops = xp.reshape(windowed, (*windowed.shape[:2], HOPS, HOP))
    total = pad(hops[:, :, 0], 1, 0, HOPS - 1)
    for hop in range(1, HOPS):
        total = total + pad(hops[:, :, hop], 1, hop, HOPS - 1 - hop)
    return xp.reshape(total, (windowed.shape[0], -1))


def overlap_add_windowed(windowed: Array, window: Array, inside: slice) -> Array:
    """Add windowed frames up to (batch, time) and return the samples of a slice, at their own level."""
    squares = array_namespace(windowed).broadcast_to(window**2, (1, *windowed.shape[1:]))
    return overlap_add(windowed)[:, inside] / overlap_add(squares)[:, inside]


def log_magnitude(spectrum: Array) -> Array:
    """Return log10 of magnitudes over the floor, about 0 to 6."""
    power = spectrum.real**2 + spectrum.imag**2
    return 0.5 * array_namespace(power).log10(power / FLOOR**2 + 1)


def octave_shift(first: Array, bins: Array) -> Array:
    """Return how many bins lower the source of a bin lies: in the octave below the first bin above the
    cutoff.

    Shape:
        (batch,), (bins,) -> (batch, bins).
    """
    xp = array_namespace(first)
    width = (first // 2)[:, None]
    return xp.minimum(width * (1 + xp.clip(bins - first[:, None], 0, None) // width), bins)


def with_shifted_phases(magnitude: Array, spectrum: Array, bins: Array, shift: Array, start: int) -> Array:
    """Give magnitudes of these bins the phases of bins further down, by as many as ``shift`` says.

    Bin k takes the phase of bin k - m w (w bins in the octave), advanced by the rotation that a shift by m w
    bins accumulates up to the start of its frame: m w HOP / N_FFT turns a frame. ``start`` is the number of
    the first frame.
    """
    xp = array_namespace(magnitude)
    source = gather_bins(spectrum, bins - shift)
    scale = magnitude / xp.sqrt(xp.clip(source.real**2 + source.imag**2, 1e-18, None))
    # A hop is a quarter of a frame: after four frames, every rotation is a whole number of turns.
    quarters = (xp.arange(HOPS, device=device(bins)) - HOPS // 2)[:, None] * shift[:, None] % HOPS
    rotation = xp.exp(2j * math.pi / HOPS * xp.astype(quarters, magnitude.dtype))
    number = xp.arange(start, start + spectrum.shape[1], device=device(bins)) % HOPS
    return source * rotation[:, number] * scale
