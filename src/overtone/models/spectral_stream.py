"""TODO."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from overtone.models import harmonics
from overtone.models.spectral_frames import HOP, N_FFT, PARTS

if TYPE_CHECKING:
    from overtone.models.spectral import Spectral

# Frames that overlap one that is still to come.
HELD = PARTS - 1


class Stream:
    """One signal restored a block at a time: each block keeps what it still needs, nothing is made twice.

    Every convolution holds the last frames that came to it, so what comes out lags behind what goes in::

        samples - frames - convolution, holds 2 reach frames - ... - frames - samples, holds 3 frames

    Args:
        net: in evaluation mode.
        cutoff: in Hz.
    """

    def __init__(self, net: "Spectral", cutoff: float) -> None:
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
