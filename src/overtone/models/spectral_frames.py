"""Transform signals to frames and back, and give new bins above a cutoff phases from below it."""

import torch
from torch import Tensor, nn

N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
# Hops of a frame.
HOPS = N_FFT // HOP
# Log magnitudes are floored here: -114 dB for a full-scale tone, under 16-bit quantisation noise.
FLOOR = 1e-3


def analyse(samples: Tensor, window: Tensor) -> Tensor:
    """Transform (batch, time) to complex (batch, frames, BINS): all frames that lie inside."""
    spectrum = torch.stft(samples, N_FFT, HOP, window=window, center=False, return_complex=True)
    return spectrum.transpose(1, 2)


def synthesize(spectrum: Tensor, window: Tensor) -> Tensor:
    """Transform (batch, frames, BINS) back to windowed frames of samples, (batch, frames, N_FFT)."""
    # In place: a new array of this size takes several times as long as the product.
    frames: Tensor = torch.fft.irfft(spectrum, n=N_FFT)
    return frames.mul_(window)


def overlap_add(frames: Tensor) -> Tensor:
    """Add up frames (batch, frames, N_FFT) that are HOP samples apart, to (batch, time).

    On a processor, torch.istft takes several times as long for this.
    """
    hops = frames.reshape(*frames.shape[:2], HOPS, HOP)
    total = nn.functional.pad(hops[:, :, 0], (0, 0, 0, HOPS - 1))
    for hop in range(1, HOPS):
        total = total + nn.functional.pad(hops[:, :, hop], (0, 0, hop, HOPS - 1 - hop))
    return total.flatten(1)


def log_magnitude(spectrum: Tensor) -> Tensor:
    """Return log10 of magnitudes over the floor, about 0 to 6."""
    power = spectrum.real**2 + spectrum.imag**2
    return 0.5 * (power / FLOOR**2 + 1).log10()


def octave_shift(first: Tensor, bins: Tensor) -> Tensor:
    """Return how many bins lower the source of a bin lies: in the octave below the first bin above the
    cutoff.

    Shape:
        (batch,), (bins,) -> (batch, bins).
    """
    width = (first // 2)[:, None]
    return (width * (1 + (bins - first[:, None]).clamp_min(0) // width)).minimum(bins)


def with_shifted_phases(
    magnitude: Tensor, spectrum: Tensor, bins: Tensor, shift: Tensor, start: int
) -> Tensor:
    """Give magnitudes of these bins the phases of bins further down, by as many as ``shift`` says.

    Bin k takes the phase of bin k - m w (w bins in the octave), advanced by the rotation that a shift by m w
    bins
    accumulates up to the start of its frame: m w HOP / N_FFT turns a frame. ``start`` is the number of the
        first
    frame.
    """
    source = (bins - shift)[:, None].expand(*spectrum.shape[:2], len(bins))
    real, imaginary = spectrum.real.gather(2, source), spectrum.imag.gather(2, source)
    scale = (real**2 + imaginary**2).clamp_min(1e-18).rsqrt() * magnitude
    shifted = torch.complex(real * scale, imaginary * scale)
    # A hop is a quarter of a frame: after four frames, every rotation is a whole number of turns.
    quarters = (torch.arange(HOPS, device=bins.device) - HOPS // 2)[:, None] * shift[:, None] % HOPS
    rotation = torch.polar(torch.ones_like(quarters, dtype=scale.dtype), quarters * (2 * torch.pi / HOPS))
    return shifted * rotation[:, (start + torch.arange(spectrum.shape[1], device=bins.device)) % HOPS]
