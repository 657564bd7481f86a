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

from overtone.models import harmonics
from overtone.params import check

N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
PARTS = N_FFT // HOP
RATE = 44100
# Log magnitudes are floored here: -114 dB for a full-scale tone, under 16-bit quantisation noise.
FLOOR = 1e-3
KERNEL = 7
DILATIONS = (1, 2, 4)
# Frames that overlap one that is still to come.
HELD = PARTS - 1
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
        sticks_out = harmonics.continued(log_magnitude(spectrum), first, bins)
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
        made = _with_moved_phases(magnitude, spectrum, bins, octave_shift(first, bins), start)
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
        return (cutoff / (RATE / N_FFT)).ceil().long().clamp(4, BINS - 1)


class Stream:
    """One signal restored a block at a time: each block keeps what it still needs, nothing is made twice.

    Every convolution holds the last frames that came to it, so what comes out lags behind what goes in::

        samples - frames - convolution, holds 2 reach frames - ... - frames - samples, holds 3 frames

    Args:
        net: in evaluation mode.
        cutoff: in Hz.
    """

    def __init__(self, net: Spectral, cutoff: float) -> None:
        device = net.window.device
        self._net = net
        self._first = net.first_bin(torch.tensor([cutoff], device=device))
        features = net.settings.features
        # Silence before the start: half a frame of it, and as many frames as a convolution reaches back.
        self._samples = torch.zeros(1, N_FFT // 2, device=device)
        self._before = [torch.zeros(1, reach, features, device=device) for reach in net.blocks.reaches]
        # Frames on their way through the convolutions, after some that are through, which harmonics look back
        # at, up to the cutoff; and made ones that samples to come are part of.
        self._spectrum = torch.zeros(1, 0, int(self._first), dtype=torch.complex64, device=device)
        self._through = 0
        self._level = torch.zeros(1, 0, 1, device=device)
        self._made = torch.zeros(1, 0, N_FFT, device=device)
        self._frames = 0  # that are made
        self._taken = self._given = 0

    @property
    def latency(self) -> int:
        """How many samples the output lags behind at most."""
        return sum(self._net.blocks.reaches) * HOP + N_FFT

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples, any number of them; give those that are ready, at the last call all."""
        self._taken += samples.shape[-1]
        self._samples = torch.cat([self._samples, samples], dim=-1)
        if last:
            self._samples = nn.functional.pad(self._samples, (0, -self._taken % HOP + N_FFT // 2))
        x = self._enter()
        blocks = self._net.blocks
        for number, (block, reach) in enumerate(zip(blocks, blocks.reaches, strict=True)):
            x = torch.cat([self._before[number], x], dim=1)
            if last:
                x = nn.functional.pad(x, (0, 0, 0, reach))
            self._before[number] = x[:, -2 * reach :]
            x = block(x) if x.shape[1] > 2 * reach else x[:, :0]
        return self._leave(x, last)

    def _enter(self) -> Tensor:
        """Take the frames that are complete from the samples: (1, frames, features)."""
        count = max(0, (self._samples.shape[-1] - N_FFT) // HOP + 1)
        if not count:
            return self._before[0][:, :0]
        spectrum = self._net.analysis(self._samples)[..., : int(self._first)]
        self._samples = self._samples[:, count * HOP :]
        x, level = self._net.heard(spectrum, self._first)
        self._spectrum = torch.cat([self._spectrum, spectrum], dim=1)
        self._level = torch.cat([self._level, level], dim=1)
        return x

    def _leave(self, x: Tensor, last: bool) -> Tensor:
        """Make the frames whose features these are, and the samples that are whole with them."""
        count = x.shape[1]
        if count:
            here = slice(self._through, self._through + count)
            level, self._level = self._level[:, :count], self._level[:, count:]
            magnitude = self._net.told(x, level, self._first, int(self._first))
            # There are frames to look ahead at: a convolution looks as far.
            fine = self._net.fine_structure(self._spectrum[:, : here.stop + harmonics.REACH], self._first)
            fine = fine if fine is None else fine[:, here]
            made = self._net.remade(self._spectrum[:, here], magnitude, fine, self._first, self._frames)
            self._made = torch.cat([self._made, self._net.frames(made)], dim=1)
            self._frames += count
            self._through = min(here.stop, harmonics.REACH)
            self._spectrum = self._spectrum[:, here.stop - self._through :]
        # There the next frame begins.
        end = self._taken if last else self._frames * HOP - N_FFT // 2
        if end <= self._given:
            return self._samples[:, :0]
        start = (self._frames - self._made.shape[1]) * HOP - N_FFT // 2
        ready = self._net.joined(self._made, slice(self._given - start, end - start))
        self._given = end
        self._made = self._made[:, -HELD:]
        return ready


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


def _with_moved_phases(
    magnitude: Tensor, spectrum: Tensor, bins: Tensor, shift: Tensor, start: int
) -> Tensor:
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
