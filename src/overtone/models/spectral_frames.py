"""TODO."""

import torch
from torch import Tensor, nn

N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
PARTS = N_FFT // HOP
# Log magnitudes are floored here: -114 dB for a full-scale tone, under 16-bit quantisation noise.
FLOOR = 1e-3


def overlap_add(frames: Tensor) -> Tensor:
    """Add up frames (batch, frames, N_FFT) that are HOP samples apart, to (batch, time).

    On a processor, torch.istft takes several times as long for this.
    """
    hops = frames.reshape(*frames.shape[:2], PARTS, HOP)
    total = nn.functional.pad(hops[:, :, 0], (0, 0, 0, PARTS - 1))
    for part in range(1, PARTS):
        total = total + nn.functional.pad(hops[:, :, part], (0, 0, part, PARTS - 1 - part))
    return total.flatten(1)


def log_magnitude(spectrum: Tensor) -> Tensor:
    """log10 of magnitudes over the floor, about 0 to 6."""
    power = spectrum.real**2 + spectrum.imag**2
    return 0.5 * (power / FLOOR**2 + 1).log10()


def octave_shift(first: Tensor, bins: Tensor) -> Tensor:
    """How many bins lower the source of a bin lies: in the octave below the first bin that is made anew.

    Shape:
        (batch,), (bins,) -> (batch, bins).
    """
    width = (first // 2)[:, None]
    return (width * (1 + (bins - first[:, None]).clamp_min(0) // width)).minimum(bins)


def with_moved_phases(magnitude: Tensor, spectrum: Tensor, bins: Tensor, shift: Tensor, start: int) -> Tensor:
    """Magnitudes of these bins with the phases of bins further down, by as many as ``shift`` says.

    Bin k takes the phase of bin k - m w (w bins in the octave), advanced by the turns that the shift
    by m w bins makes up to its frame's start: m w HOP / N_FFT a frame. ``start`` is the number of the
    first frame.
    """
    source = (bins - shift)[:, None].expand(*spectrum.shape[:2], len(bins))
    real, imaginary = spectrum.real.gather(2, source), spectrum.imag.gather(2, source)
    size = (real**2 + imaginary**2).clamp_min(1e-18).rsqrt() * magnitude
    octave = torch.complex(real * size, imaginary * size)
    # A hop is a quarter of a frame: four frames on, every shift comes round.
    quarters = (torch.arange(PARTS, device=bins.device) - PARTS // 2)[:, None] * shift[:, None] % PARTS
    turns = torch.polar(torch.ones_like(quarters, dtype=size.dtype), quarters * (2 * torch.pi / PARTS))
    return octave * turns[:, (start + torch.arange(spectrum.shape[1], device=bins.device)) % PARTS]
