"""Predict the magnitude of every bin above the cutoff, frame by frame, from the spectrum below it.

The network sees levels relative to that of the octave below the cutoff: with absolute levels it was 10 to 17
dB off on music unlike its training music (docs/experiments.md).

Fine structure is taken from the music itself. Phases above the cutoff are those of the octave below it,
shifted up by whole multiples of its width. So a transient stays as sharp as it was, and what is in the middle
of the stereo image stays there; predicting phases by regression gained nothing over noise. Where partials are
evenly spaced below the cutoff, they continue above it (`overtone.models.harmonics`).

The side of stereo, what left and right do not share, is another kind of signal: ambience, reverberation, and
in lossy music a lower bandwidth. A network may have other weights for it (`overtone.models.spectral_side`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.core.params import check
from overtone.core.rates import MODEL_RATE
from overtone.models import harmonics, spectral_frames
from overtone.models.spectral_blocks import Blocks
from overtone.models.spectral_frames import BINS, FLOOR, HOP, N_FFT, log_magnitude, octave_shift
from overtone.models.spectral_side import SideWeights
from overtone.models.spectral_stream import SpectralStream

# The slope above the cutoff in an untrained network: -12 dB per octave, as a power of ten.
SLOPE = -0.6


@dataclass(frozen=True)
class SpectralSettings:
    """The group ``model.spectral`` of params.yaml.

    Attributes:
        features: of a frame.
        blocks: number of residual blocks.
        expansion: a block's inner width, as a multiple of ``features``.
        harmonics: power of the fine structure that is continued above the cutoff and multiplied with the
            magnitudes; 0 leaves them smooth.
    """

    features: int
    blocks: int
    expansion: int
    harmonics: float = 0.0

    def __post_init__(self) -> None:
        for key in ("features", "blocks", "expansion"):
            value = getattr(self, key)
            check(value >= 1, f"model.spectral.{key}", value, "a whole number, 1 or more")
        check(0 <= self.harmonics <= 1, "model.spectral.harmonics", self.harmonics, "a power, 0 to 1")


class Spectral(SideWeights):
    """Log magnitudes below the cutoff in, log magnitudes above it out, phases from the octave below.

    ::

        (B, T) - STFT - log|.| below cutoff - encode - blocks - decode - log|.| above it -+
                   |                                                                      |- iSTFT - (B, T)
                   +--- bins below the cutoff, as they are; their phases shifted up ------+

    In what follows, ``first`` is (batch,): the first bin above the cutoff, from which on bins are replaced.
    """

    # Under bfloat16 autocast, the added band differs by -68 dB.
    half_precision = True
    settings: SpectralSettings
    window: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__(settings)
        features = settings.features
        self.enter = nn.Linear(BINS, features)
        self.where = nn.Linear(BINS, features, bias=False)
        self.loudness = nn.Linear(1, features, bias=False)
        self.blocks = Blocks(features, settings.expansion, settings.blocks)
        self.norm = nn.LayerNorm(features)
        self.leave = nn.Linear(features, BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore (batch, time) samples at 44.1 kHz whose content ends at (batch,) in Hz."""
        time, first = samples.shape[-1], self.first_bin(cutoff)
        # Silence before the start and after the end.
        padded = nn.functional.pad(samples, (N_FFT // 2, -time % HOP + N_FFT // 2))
        spectrum = spectral_frames.analyse(padded, self.window)[..., : int(first.max())]
        magnitude = self.magnitudes(spectrum, first, int(first.min()))
        restored = self.reconstruct(spectrum, magnitude, self.fine_structure(spectrum, first), first, 0)
        frames = spectral_frames.synthesize(restored, self.window)
        return self.overlap_add(frames, slice(N_FFT // 2, N_FFT // 2 + time))

    def stream(self, cutoff: float) -> SpectralStream:
        """Return what restores a signal of any length, a block at a time, as `forward` does in one call."""
        return SpectralStream(self, cutoff)

    def core(self) -> nn.Module:
        """Return what torch.compile is for: the rest is transforms, which it leaves as they are."""
        return self.blocks

    def first_bin(self, cutoff: Tensor) -> Tensor:
        """Return the first bin above cutoffs (batch,) in Hz."""
        return (cutoff / (MODEL_RATE / N_FFT)).ceil().long().clamp(4, BINS - 1)

    def magnitudes(self, spectrum: Tensor, first: Tensor, lowest: int) -> Tensor:
        """Predict magnitudes of the bins from the lowest on, (batch, frames, bins); arguments of `encode`."""
        x, level = self.encode(spectrum, first)
        return self.decode(self.blocks(x), level, first, lowest)

    def encode(self, spectrum: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the input of the blocks.

        Args:
            spectrum: (batch, frames, bins): those below ``first``, or more.
            first: (batch,).

        Returns:
            Features (batch, frames, features), and the level of the octave below the cutoff (batch, frames,
            1).
        """
        magnitude = log_magnitude(spectrum)
        bins = torch.arange(magnitude.shape[-1], device=first.device)
        inside = (bins < first[:, None]).to(magnitude.dtype)[:, None]
        octave = inside * (bins >= (first // 2)[:, None, None])
        level = (magnitude @ octave.transpose(1, 2)) / octave.sum(-1, keepdim=True)
        # A twentieth of the arithmetic; in bfloat16 the added band was -49 dB off, in float32 it is -68 dB.
        with torch.autocast(magnitude.device.type, enabled=False):
            enter, where = (layer.weight[:, : len(bins)] for layer in (self.enter, self.where))
            x = nn.functional.linear((magnitude - level) * inside, enter, self.enter.bias)
            x = x + nn.functional.linear(inside, where) + self.loudness(level)
        return x, level

    def decode(self, x: Tensor, level: Tensor, first: Tensor, lowest: int) -> Tensor:
        """Compute magnitudes (batch, frames, bins from the lowest on) from the output of the blocks."""
        octaves = (torch.arange(lowest, BINS, device=first.device) / first[:, None]).clamp_min(1).log2()
        # Far from zero, bfloat16 steps in the exponent would be steps of several dB.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.leave.weight[lowest:], self.leave.bias[lowest:]
            change = nn.functional.linear(self.norm(x.float()), weight, bias)
        exponent = level + SLOPE * octaves[:, None] + change
        magnitude: Tensor = FLOOR * (exponent * math.log(10)).clamp(-3, 14).exp()
        return magnitude

    def fine_structure(self, spectrum: Tensor, first: Tensor) -> Tensor | None:
        """Compute factors for magnitudes, if any: (batch, frames, bins from the lowest first one on)."""
        if not self.settings.harmonics:
            return None
        bins = torch.arange(int(first.min()), BINS, device=first.device)
        prominence = harmonics.continue_partials(log_magnitude(spectrum), first, bins)
        return (self.settings.harmonics * math.log(10) * prominence).exp()

    def reconstruct(
        self, spectrum: Tensor, magnitude: Tensor, fine: Tensor | None, first: Tensor, start: int
    ) -> Tensor:
        """Replace the bins of a spectrum from ``first`` on.

        Args:
            spectrum: (batch, frames, bins), those below the highest first one.
            magnitude: (batch, frames, bins from the lowest first one on).
            fine: of the same shape, from `fine_structure`.
            first: (batch,).
            start: the number of the first frame.

        Returns:
            (batch, frames, BINS), complex.
        """
        # No bin under the lowest cutoff of the batch is replaced.
        lowest = int(first.min())
        bins = torch.arange(lowest, BINS, device=first.device)
        magnitude = magnitude if fine is None else magnitude * fine
        shift = octave_shift(first, bins)
        restored = spectral_frames.with_shifted_phases(magnitude, spectrum, bins, shift, start)
        kept = spectrum[..., lowest:]
        # With one cutoff for the batch there is nothing to choose.
        if kept.shape[-1]:
            kept = nn.functional.pad(kept, (0, BINS - spectrum.shape[-1]))
            restored = torch.where((bins < first[:, None])[:, None], kept, restored)
        return torch.cat([spectrum[..., :lowest], restored], dim=-1)

    def overlap_add(self, frames: Tensor, inside: slice) -> Tensor:
        """Add windowed frames up to (batch, time) and return the samples of a slice."""
        squares = (self.window**2).expand(1, frames.shape[1], N_FFT)
        return (
            spectral_frames.overlap_add(frames)[:, inside] / spectral_frames.overlap_add(squares)[:, inside]
        )
