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

import torch
from torch import Tensor, nn

from overtone.models import spectral_frames
from overtone.models.spectral_bands import (
    Levels,
    fine_structure,
    first_bin,
    magnitudes,
    measure_levels,
    reconstruct,
)
from overtone.models.spectral_blocks import Blocks, BlockStream
from overtone.models.spectral_frames import BINS, HOP, N_FFT
from overtone.models.spectral_settings import SpectralSettings
from overtone.models.spectral_side import SideWeights
from overtone.models.spectral_stream import SpectralStream


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
        self.blocks = Blocks(settings)
        self.norm = nn.LayerNorm(features)
        self.leave = nn.Linear(features, BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore (batch, time) samples at 44.1 kHz whose content ends at (batch,) in Hz."""
        time, first = samples.shape[-1], first_bin(cutoff)
        # Silence before the start and after the end.
        padded = nn.functional.pad(samples, (N_FFT // 2, -time % HOP + N_FFT // 2))
        spectrum = spectral_frames.analyse(padded, self.window)[..., : int(first.max())]
        magnitude = self.magnitudes(spectrum, first, int(first.min()))
        fine = fine_structure(spectrum, first, self.settings.harmonics)
        magnitude = magnitude if fine is None else magnitude * fine
        restored = reconstruct(spectrum, magnitude, first, 0)
        frames = spectral_frames.synthesize(restored, self.window)
        inside = slice(N_FFT // 2, N_FFT // 2 + time)
        output: Tensor = spectral_frames.overlap_add_windowed(frames, self.window, inside)
        return output

    def signal_stream(self, cutoff: float) -> SpectralStream:
        """Open the stream of one signal, of tensors on the network's device."""
        first = first_bin(torch.tensor([cutoff], device=self.window.device))
        return SpectralStream(LayerStream(self), self.window, first, self.settings.harmonics)

    def core(self) -> nn.Module:
        """Return what torch.compile is for: the rest is transforms, which it leaves as they are."""
        return self.blocks

    def magnitudes(self, spectrum: Tensor, first: Tensor, lowest: int) -> Tensor:
        """Predict the magnitudes of bins from the lowest on.

        Shape:
            spectrum (batch, frames, bins below ``first``, or more), first (batch,) -> (batch, frames, bins).
        """
        # A twentieth of the arithmetic; in bfloat16 the added band was -49 dB off, in float32 it is -68 dB.
        with torch.autocast(self.window.device.type, enabled=False):
            levels = measure_levels(spectrum, first)
            x = self.embed(levels)
        x = self.blocks(x)
        # Far from zero, bfloat16 steps in the exponent would be steps of several dB.
        with torch.autocast(self.window.device.type, enabled=False):
            predicted: Tensor = magnitudes(self.change(x, lowest), levels.octave, first, lowest)
        return predicted

    def embed(self, levels: Levels) -> Tensor:
        """Compute the input of the blocks, (batch, frames, features)."""
        relative, inside, octave = levels
        enter, where = (layer.weight[:, : relative.shape[-1]] for layer in (self.enter, self.where))
        x = nn.functional.linear(relative, enter, self.enter.bias)
        embedded: Tensor = x + nn.functional.linear(inside, where) + self.loudness(octave)
        return embedded

    def change(self, x: Tensor, lowest: int) -> Tensor:
        """Compute the blocks' change of magnitudes, as log10: (batch, frames, bins from the lowest on)."""
        weight, bias = self.leave.weight[lowest:], self.leave.bias[lowest:]
        return nn.functional.linear(self.norm(x.float()), weight, bias)


class LayerStream:
    """Runs the learned layers of a network over the frames of one signal, some at a time.

    Args:
        net: in evaluation mode.

    Attributes:
        reach: frames by which the output lags behind the input.
    """

    def __init__(self, net: Spectral) -> None:
        self._net, self._blocks = net, BlockStream(net.blocks)
        self.reach = sum(net.blocks.reaches)

    def __call__(self, levels: Levels, lowest: int, last: bool) -> Tensor:
        """Take the levels of the next frames; return the change (`Spectral.change`) of those ready."""
        with torch.autocast(self._net.window.device.type, enabled=False):
            x = self._net.embed(levels)
        x = self._blocks(x, last)
        with torch.autocast(self._net.window.device.type, enabled=False):
            return self._net.change(x, lowest)
