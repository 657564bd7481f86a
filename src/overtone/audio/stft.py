"""Transform signals to short-time spectra: the STFT that metrics, baselines and plots share.

Arrays are PyTorch's or NumPy's (`overtone.core.arrays`).
"""

import math
from collections.abc import Iterator

import numpy as np
from array_api_compat import array_namespace, device

from overtone.core.arrays import Array, frames, hann_window, pad, windowed_rfft

N_FFT = 2048
HOP = 512
# Frames that `stft_blocks` computes at once: at 2048 points 2 MB of spectrum per channel, which stays in the
# cache. The paper's STFT metric on 30 s took 0.36 s in blocks of 32, 0.19 s in 256, 0.31 s in 4096 (two
# cores).
FRAMES = 256


def stft(samples: Array, n_fft: int = N_FFT, hop: int = HOP) -> Array:
    """Compute the complex spectrum of every frame; frame t is centred on sample t * hop.

    The signal counts as zero outside its ends, so that any length is possible.

    Shape:
        samples (..., time) -> (..., n_fft // 2 + 1, time // hop + 1), complex.
    """
    return array_namespace(samples).concat(list(stft_blocks(samples, n_fft, hop)), axis=-1)


def stft_blocks(
    samples: Array, n_fft: int = N_FFT, hop: int = HOP, window: int | None = None
) -> Iterator[Array]:
    """Yield the frames of `stft` in blocks, so that memory does not grow with the track's length.

    Args:
        samples: (..., time).
        n_fft: points of the transform.
        hop: samples from one frame to the next.
        window: samples of the Hann window, centred in the frame; None for n_fft.

    Yields:
        (..., n_fft // 2 + 1, at most FRAMES frames), complex.
    """
    xp, length = array_namespace(samples), window or n_fft
    before = (n_fft - length) // 2
    hann = np.pad(hann_window(length), (before, n_fft - length - before))
    weights = xp.asarray(hann, device=device(samples))
    count = samples.shape[-1] // hop + 1
    padded = pad(samples, -1, n_fft // 2, n_fft // 2)
    for start in range(0, count, FRAMES):
        end = min(start + FRAMES, count)
        block = padded[..., start * hop : (end - 1) * hop + n_fft]
        yield windowed_rfft(frames(block, n_fft, hop), weights).swapaxes(-1, -2)


def frequencies(rate: int, n_fft: int = N_FFT) -> np.ndarray:
    """Return the centre of each bin in Hz, shape (n_fft // 2 + 1,), from 0 to half the rate."""
    hertz: np.ndarray = np.arange(n_fft // 2 + 1) * rate / n_fft
    return hertz


def bins_between(low: float, high: float | None, rate: int, n_fft: int = N_FFT) -> slice:
    """Choose the bins at or above a frequency in Hz, and below another one if that is given."""
    hertz = frequencies(rate, n_fft)
    first = int(np.searchsorted(hertz, low))
    return slice(first, len(hertz) if high is None else max(first, int(np.searchsorted(hertz, high))))


def keep_high_band(samples: Array, cutoff: float, rate: int) -> Array:
    """Remove everything below a cutoff in Hz, by one transform of the complete signal.

    An STFT with the bins below the cutoff set to zero still leaks through the window's skirts; this leaves
    nothing below. The signal is mirrored at its ends, so that a loud start does not ring at the end, as it
    would in a transform of a signal that repeats.

    Shape:
        samples (..., time) -> (..., time).
    """
    xp = array_namespace(samples)
    mirrored = xp.concat([samples, xp.flip(samples, axis=-1)], axis=-1)
    spectrum = xp.fft.rfft(mirrored)
    spectrum[..., : math.ceil(cutoff * mirrored.shape[-1] / rate)] = 0  # bin k lies at k * rate / length
    return xp.fft.irfft(spectrum, n=mirrored.shape[-1])[..., : samples.shape[-1]]
