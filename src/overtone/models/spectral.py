"""A spectral envelope network: it predicts how loud every bin above the cutoff is, frame by frame.

It does so relative to the level of the octave below the cutoff: told levels as they are, it was 10 to 17 dB
off on music unlike what it had been trained on (docs/experiments.md).

What is finer comes from the music itself. Phases above the cutoff are those of the octave below it, moved
up by whole multiples of its width: a drum hit stays as sharp as it was, and what sits in the middle of the
stereo image stays there; learning phases by regression gained nothing over noise. And where partials stand at
even distances below the cutoff, they go on above it (`overtone.models.harmonics`).

The side of stereo, what left and right do not share, is another kind of signal: ambience, reverberation, and
in lossy music less of a top. A network may have weights of its own for it (`Spectral.side`).
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.core.params import check
from overtone.core.rates import MODEL_RATE
from overtone.models import harmonics
from overtone.models.spectral_frames import (
    BINS,
    FLOOR,
    HOP,
    N_FFT,
    log_magnitude,
    octave_shift,
    overlap_add,
    with_moved_phases,
)
from overtone.models.spectral_stream import Stream

KERNEL = 7
DILATIONS = (1, 2, 4)
# What the names of weights for the side of stereo begin with.
SIDE = "side."
# What an untrained network continues the octave below with: -12 dB per octave, as a factor of 10.
SLOPE = -0.6


@dataclass(frozen=True)
class SpectralSettings:
    """The group ``model.spectral`` of params.yaml.

    Attributes:
        features: of a frame.
        blocks: how many.
        expansion: a block's inner width over ``features``.
        harmonics: the power to which the fine structure that goes on above the cutoff is taken before it is
            laid over the magnitudes; 0 leaves them smooth.
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


class Block(nn.Module):
    """A residual block over (batch, frames, features): frames are mixed in groups, features by pairs.

    After ConvNeXt (Liu et al., arXiv 2201.03545): depthwise convolution over time, layer norm, a wide
    linear layer, GELU, a linear layer back.
    """

    def __init__(self, features: int, expansion: int, dilation: int) -> None:
        super().__init__()
        self.dilation, self.reach = dilation, KERNEL // 2 * dilation
        self.mix = nn.Conv1d(features, features, KERNEL, dilation=dilation, groups=features)
        self.norm = nn.LayerNorm(features)
        self.wide = nn.Linear(features, expansion * features)
        self.narrow = nn.Linear(expansion * features, features)
        self.scale = nn.Parameter(torch.full((features,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, reach + frames + reach, features) to (batch, frames, features)."""
        # The convolution as a sum of shifted frames: the operator wants frames last, which costs two copies,
        # and torch.compile makes its gradient anew for every number of frames.
        taps, count = self.mix.weight[:, 0].T.contiguous(), x.shape[1] - 2 * self.reach
        assert self.mix.bias is not None
        y = torch.addcmul(self.mix.bias, taps[0], x[:, :count])
        for number, tap in enumerate(taps[1:], start=1):
            y.addcmul_(tap, x[:, number * self.dilation :][:, :count])
        y = self.narrow(nn.functional.gelu(self.wide(self.norm(y))))
        return torch.addcmul(x[:, self.reach : self.reach + count], self.scale, y)


class Blocks(nn.ModuleList):
    """All blocks, one after the other, with silence before and after what they are given."""

    def __init__(self, settings: SpectralSettings) -> None:
        dilations = [DILATIONS[number % len(DILATIONS)] for number in range(settings.blocks)]
        blocks = [Block(settings.features, settings.expansion, dilation) for dilation in dilations]
        super().__init__(blocks)
        # How many frames each looks to both sides.
        self.reaches = [block.reach for block in blocks]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, features) to the same."""
        for block, reach in zip(self, self.reaches, strict=True):
            x = block(nn.functional.pad(x, (0, 0, reach, reach)))
        return x


class Spectral(nn.Module):
    """Log magnitudes below the cutoff in, log magnitudes above it out, phases from the octave below.

    ::

        (B, T) - STFT - log|.| below cutoff - linear - blocks - linear - log|.| above it -+
                   |                                                                      |- iSTFT - (B, T)
                   +--- bins below the cutoff, as they are; their phases moved up --------+

    Attributes:
        side: the same for the side of stereo, if it has weights of its own; it shares the others in memory.
    """

    # Run under bfloat16 autocast, the added band differs by -68 dB.
    half_precision = True
    window: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__()
        self.settings = settings
        self.side: Spectral | None = None
        features = settings.features
        self.enter = nn.Linear(BINS, features)
        self.where = nn.Linear(BINS, features, bias=False)
        self.loudness = nn.Linear(1, features, bias=False)
        self.blocks = Blocks(settings)
        self.norm = nn.LayerNorm(features)
        self.leave = nn.Linear(features, BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def stream(self, cutoff: float) -> "Stream":
        """What restores a signal of any length, a block at a time, as `forward` does in one call."""
        return Stream(self, cutoff)

    def core(self) -> nn.Module:
        """What torch.compile is for: the rest is transforms, which it leaves as they are."""
        return self.blocks

    def under(self, settings: SpectralSettings) -> "Spectral":
        """A copy with these weights under other settings: as many blocks or more, other harmonics.

        Further blocks begin by changing nothing, at a scale of 0.
        """
        other = Spectral(settings)
        weights = self.without_side()
        other.load_state_dict(other.state_dict() | weights)
        for name, weight in other.named_parameters():
            if name not in weights and name.endswith("scale"):
                nn.init.zeros_(weight)
        if self.side is not None:
            other.give_side(self.side.under(settings).state_dict())
        return other

    def without_side(self) -> dict[str, Tensor]:
        """The weights but for those of `side`."""
        return {name: weight for name, weight in self.state_dict().items() if not name.startswith(SIDE)}

    def give_side(self, weights: dict[str, Tensor]) -> None:
        """Have weights of its own for the side of stereo, by their names; those that are the same are shared.

        Raises:
            RuntimeError: a weight has another name or shape than the network's.
        """
        self.side = None
        side = copy.deepcopy(self)
        side.load_state_dict(self.state_dict() | weights)
        shared = {
            name: weight
            for name, weight in self.named_parameters()
            if torch.equal(weight, side.get_parameter(name))
        }
        side.load_state_dict(shared, strict=False, assign=True)
        self.side = side

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore samples whose content ends at a cutoff.

        Args:
            samples: (batch, time), at 44.1 kHz.
            cutoff: (batch,) in Hz.

        Returns:
            (batch, time).
        """
        time = samples.shape[-1]
        first = self.first_bin(cutoff)
        # Silence before the start and after the end.
        padded = nn.functional.pad(samples, (N_FFT // 2, -time % HOP + N_FFT // 2))
        spectrum = self.analysis(padded)[..., : int(first.max())]
        magnitude = self.magnitudes(spectrum, first, int(first.min()))
        fine = self.fine_structure(spectrum, first)
        frames = self.frames(self.remade(spectrum, magnitude, fine, first, 0))
        return self.joined(frames, slice(N_FFT // 2, N_FFT // 2 + time))

    def magnitudes(self, spectrum: Tensor, first: Tensor, lowest: int) -> Tensor:
        """Magnitudes of the bins from the lowest on, (batch, frames, bins); arguments as for `heard`."""
        x, level = self.heard(spectrum, first)
        return self.told(self.blocks(x), level, first, lowest)

    def heard(self, spectrum: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """What the blocks are given, (batch, frames, features), and the level of the octave below the cutoff.

        Args:
            spectrum: (batch, frames, bins): those below the first that is made anew, or more.
            first: (batch,), the first bin that is made anew.
        """
        heard = log_magnitude(spectrum)
        bins = torch.arange(heard.shape[-1], device=first.device)
        inside = (bins < first[:, None]).to(heard.dtype)[:, None]
        octave = inside * (bins >= (first // 2)[:, None, None])
        level = (heard @ octave.transpose(1, 2)) / octave.sum(-1, keepdim=True)
        # A twentieth of the arithmetic; in bfloat16 it put the added band -49 dB off, and so it is -68 dB.
        with torch.autocast(heard.device.type, enabled=False):
            enter, where = (layer.weight[:, : len(bins)] for layer in (self.enter, self.where))
            x = nn.functional.linear((heard - level) * inside, enter, self.enter.bias)
            x = x + nn.functional.linear(inside, where) + self.loudness(level)
        return x, level

    def told(self, x: Tensor, level: Tensor, first: Tensor, lowest: int) -> Tensor:
        """Magnitudes of the bins from the lowest on, (batch, frames, bins), from what the blocks give."""
        above = (torch.arange(lowest, BINS, device=first.device) / first[:, None]).clamp_min(1).log2()
        # Far from zero, bfloat16 steps in the exponent would be steps of several dB.
        with torch.autocast(x.device.type, enabled=False):
            change = nn.functional.linear(
                self.norm(x.float()), self.leave.weight[lowest:], self.leave.bias[lowest:]
            )
        exponent = level + SLOPE * above[:, None] + change
        magnitude: Tensor = FLOOR * (exponent * math.log(10)).clamp(-3, 14).exp()
        return magnitude

    def fine_structure(self, spectrum: Tensor, first: Tensor) -> Tensor | None:
        """Factors for magnitudes, if any: (batch, frames, bins from the lowest first one on).

        Args:
            spectrum, first: as for `heard`.
        """
        if not self.settings.harmonics:
            return None
        bins = torch.arange(int(first.min()), BINS, device=first.device)
        sticks_out = harmonics.continue_partials(log_magnitude(spectrum), first, bins)
        return (self.settings.harmonics * math.log(10) * sticks_out).exp()

    def remade(
        self, spectrum: Tensor, magnitude: Tensor, fine: Tensor | None, first: Tensor, start: int
    ) -> Tensor:
        """The whole spectrum, made anew from the first bin on: (batch, frames, BINS).

        Args:
            spectrum: (batch, frames, bins), those below the highest first one.
            magnitude: (batch, frames, bins from the lowest first one on).
            fine: what `fine_structure` gives.
            first: (batch,), the first bin that is made anew.
            start: the number of the first frame.
        """
        # No bin under the lowest cutoff of the batch is made anew.
        lowest = int(first.min())
        bins = torch.arange(lowest, BINS, device=first.device)
        magnitude = magnitude if fine is None else magnitude * fine
        made = with_moved_phases(magnitude, spectrum, bins, octave_shift(first, bins), start)
        kept = spectrum[..., lowest:]
        # Under one cutoff for all there is nothing to choose.
        if kept.shape[-1]:
            kept = nn.functional.pad(kept, (0, BINS - spectrum.shape[-1]))
            made = torch.where((bins < first[:, None])[:, None], kept, made)
        return torch.cat([spectrum[..., :lowest], made], dim=-1)

    def analysis(self, samples: Tensor) -> Tensor:
        """(batch, time) to complex (batch, frames, bins): all frames that lie inside."""
        spectrum = torch.stft(samples, N_FFT, HOP, window=self.window, center=False, return_complex=True)
        return spectrum.transpose(1, 2)

    def frames(self, spectrum: Tensor) -> Tensor:
        """(batch, frames, bins) to windowed frames of samples, (batch, frames, N_FFT)."""
        # In place: a new array of this size takes several times as long as the product.
        made: Tensor = torch.fft.irfft(spectrum, n=N_FFT)
        return made.mul_(self.window)

    def joined(self, frames: Tensor, inside: slice) -> Tensor:
        """These samples of what windowed frames are together, (batch, time)."""
        squares = (self.window**2).expand(1, frames.shape[1], N_FFT)
        return overlap_add(frames)[:, inside] / overlap_add(squares)[:, inside]

    def first_bin(self, cutoff: Tensor) -> Tensor:
        """The first bin that is made anew, (batch,), of cutoffs in Hz."""
        return (cutoff / (MODEL_RATE / N_FFT)).ceil().long().clamp(4, BINS - 1)
