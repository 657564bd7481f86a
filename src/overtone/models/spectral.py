"""A spectral envelope network: it predicts how loud every bin above the cutoff is, frame by frame.

It does so relative to the level of the octave below the cutoff: told levels as they are, it was 10 to 17 dB
off on music unlike what it had been trained on (docs/experiments.md).

The texture comes from the music itself: phases above the cutoff are those of the octave below it,
moved up by whole multiples of its width. A drum hit stays as sharp as it was, and what sits in the
middle of the stereo image stays there. Learning phases by regression gained nothing over noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.params import check

N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
RATE = 44100
# Log magnitudes are floored here: -114 dB for a full-scale tone, under 16-bit quantisation noise.
FLOOR = 1e-3
KERNEL = 7
DILATIONS = (1, 2, 4)
# What an untrained network continues the octave below with: -12 dB per octave, as a factor of 10.
SLOPE = -0.6


@dataclass(frozen=True)
class SpectralSettings:
    """The group ``model.spectral``: features of a frame, blocks, and a block's inner width over that."""

    features: int
    blocks: int
    expansion: int

    def __post_init__(self) -> None:
        for key in ("features", "blocks", "expansion"):
            value = getattr(self, key)
            check(value >= 1, f"model.spectral.{key}", value, "a whole number, 1 or more")


class Block(nn.Module):
    """A residual block over (batch, frames, features): frames are mixed in groups, features by pairs.

    After ConvNeXt (Liu et al., arXiv 2201.03545): depthwise convolution over time, layer norm, a wide
    linear layer, GELU, a linear layer back.
    """

    def __init__(self, features: int, expansion: int, dilation: int) -> None:
        super().__init__()
        reach = KERNEL // 2 * dilation
        self.mix = nn.Conv1d(features, features, KERNEL, padding=reach, dilation=dilation, groups=features)
        self.norm = nn.LayerNorm(features)
        self.wide = nn.Linear(features, expansion * features)
        self.narrow = nn.Linear(expansion * features, features)
        self.scale = nn.Parameter(torch.full((features,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, features) to the same."""
        y = self.mix(x.transpose(1, 2)).transpose(1, 2)
        y = self.narrow(nn.functional.gelu(self.wide(self.norm(y))))
        result: Tensor = x + self.scale * y
        return result


class Spectral(nn.Module):
    """Log magnitudes below the cutoff in, log magnitudes above it out, phases from the octave below.

    ::

        (B, T) - STFT - log|.| below cutoff - linear - blocks - linear - log|.| above it -+
                   |                                                                      |- iSTFT - (B, T)
                   +--- bins below the cutoff, as they are; their phases moved up --------+
    """

    # A window must start where a frame of the whole signal would, and where the phases of the moved
    # octave, which turn by a multiple of a quarter a frame, come round again.
    stride = 4 * HOP
    # Run under bfloat16 autocast, the added band differs by -68 dB.
    half_precision = True
    window: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__()
        self.settings = settings
        features = settings.features
        self.enter = nn.Linear(BINS, features)
        self.where = nn.Linear(BINS, features, bias=False)
        self.loudness = nn.Linear(1, features, bias=False)
        self.blocks = nn.ModuleList(
            Block(features, settings.expansion, DILATIONS[number % len(DILATIONS)])
            for number in range(settings.blocks)
        )
        self.norm = nn.LayerNorm(features)
        self.leave = nn.Linear(features, BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    @property
    def context(self) -> int:
        """Samples on each side that an output sample depends on; a multiple of ``stride``."""
        frames = sum(KERNEL // 2 * _dilation(number) for number in range(self.settings.blocks))
        return -(-(frames * HOP + 2 * N_FFT) // self.stride) * self.stride

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore samples whose content ends at a cutoff.

        Args:
            samples: (batch, time), at 44.1 kHz.
            cutoff: (batch,) in Hz.

        Returns:
            (batch, time).
        """
        time = samples.shape[-1]
        spectrum = self._stft(nn.functional.pad(samples, (0, -time % HOP)))
        first = (cutoff / (RATE / N_FFT)).ceil().long().clamp(4, BINS - 1)
        bins = torch.arange(BINS, device=samples.device)
        below = bins < first[:, None]
        magnitude = self.magnitudes(spectrum, below)
        # No bin under the lowest cutoff of the batch is made anew.
        lowest = int(first.min())
        moved = _moved_phases(spectrum, first, lowest) * magnitude[..., lowest:]
        made = torch.where(below[:, None, lowest:], spectrum[..., lowest:], moved)
        restored = torch.cat([spectrum[..., :lowest], made], dim=-1)
        return torch.istft(restored.transpose(1, 2), N_FFT, HOP, window=self.window, center=True, length=time)

    def magnitudes(self, spectrum: Tensor, below: Tensor) -> Tensor:
        """Magnitudes of all bins, (batch, frames, bins), from those below the cutoff."""
        heard = _log_magnitude(spectrum)
        inside = below[:, None].to(heard.dtype)
        first = below.sum(-1, keepdim=True)
        bins = torch.arange(BINS, device=below.device)
        octave = (below & (bins >= first // 2)).to(heard.dtype)
        level = (heard @ octave[..., None]) / octave.sum(-1)[:, None, None]
        above = (bins / first).clamp_min(1).log2()
        # A twentieth of the arithmetic; in bfloat16 it put the added band -49 dB off, and so it is -68 dB.
        with torch.autocast(heard.device.type, enabled=False):
            x = self.enter((heard - level) * inside) + self.where(inside) + self.loudness(level)
        for block in self.blocks:
            x = block(x)
        # Far from zero, bfloat16 steps in the exponent would be steps of several dB.
        with torch.autocast(x.device.type, enabled=False):
            change = self.leave(self.norm(x.float()))
        exponent = level + SLOPE * above[:, None] + change
        magnitude: Tensor = FLOOR * (exponent * math.log(10)).clamp(-3, 14).exp()
        return magnitude

    def _stft(self, samples: Tensor) -> Tensor:
        """(batch, time) to complex (batch, frames, bins); silence before the start and after the end."""
        spectrum = torch.stft(
            samples, N_FFT, HOP, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        return spectrum.transpose(1, 2)


def _dilation(block: int) -> int:
    return DILATIONS[block % len(DILATIONS)]


def _log_magnitude(spectrum: Tensor) -> Tensor:
    """log10 of magnitudes over the floor, about 0 to 6."""
    power = spectrum.real**2 + spectrum.imag**2
    return 0.5 * (power / FLOOR**2 + 1).log10()


def _moved_phases(spectrum: Tensor, first: Tensor, lowest: int) -> Tensor:
    """Unit phases for the bins from ``lowest`` on, from the octave below each signal's cutoff.

    Bin k takes the phase of bin k - m w (w bins in the octave), advanced by the turns that the shift
    by m w bins makes up to its frame's start: m w HOP / N_FFT a frame.
    """
    bins = torch.arange(lowest, spectrum.shape[-1], device=spectrum.device)
    width = (first // 2)[:, None]
    shift = (width * (1 + (bins - first[:, None]).clamp_min(0) // width)).clamp(max=bins)
    source = (bins - shift)[:, None].expand(*spectrum.shape[:2], len(bins))
    real, imaginary = spectrum.real.gather(2, source), spectrum.imag.gather(2, source)
    size = (real**2 + imaginary**2).clamp_min(1e-18).rsqrt()
    octave = torch.complex(real * size, imaginary * size)
    frames = torch.arange(spectrum.shape[1], device=spectrum.device)
    # In whole samples first: the angle of a late frame would not fit a float32.
    samples = (frames[:, None] * HOP - N_FFT // 2) * shift[:, None] % N_FFT
    turns = torch.arange(N_FFT, device=spectrum.device) * (2 * torch.pi / N_FFT)
    return octave * torch.polar(torch.ones_like(turns), turns)[samples]
