"""Run the spectral network over a signal of any length, a block at a time.

The result is that of one call of the network. Every stage keeps the frames that it still needs, and no frame
is computed twice.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from overtone.models import harmonics, spectral_frames
from overtone.models.spectral_frames import HOP, HOPS, N_FFT

if TYPE_CHECKING:
    from overtone.models.spectral import Spectral

# A frame overlaps so many that follow it.
OVERLAPPING = HOPS - 1


class SpectralStream:
    """One signal, restored a block at a time.

    Every convolution keeps the last frames that it was given, so the output lags behind the input::

        samples - frames - convolution, keeps 2 reach frames - ... - frames - samples, keeps 3 frames

    Args:
        net: in evaluation mode.
        cutoff: in Hz.
    """

    def __init__(self, net: "Spectral", cutoff: float) -> None:
        device = net.window.device
        self._net = net
        self._first = net.first_bin(torch.tensor([cutoff], device=device))
        features = net.settings.features
        # Silence before the start: half a frame of samples, and as many frames as a convolution reaches back.
        self._samples = torch.zeros(1, N_FFT // 2, device=device)
        self._before = [torch.zeros(1, reach, features, device=device) for reach in net.blocks.reaches]
        # Spectra up to the cutoff: first `_looked_back` frames that have left the convolutions, at which
        # harmonics look back, then those on their way through them.
        self._spectrum = torch.zeros(1, 0, int(self._first), dtype=torch.complex64, device=device)
        self._looked_back = 0
        self._level = torch.zeros(1, 0, 1, device=device)
        # Restored frames that samples to come depend on.
        self._restored = torch.zeros(1, 0, N_FFT, device=device)
        self._restored_count = 0  # of all frames so far
        self._taken = self._given = 0  # samples

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind at most."""
        return sum(self._net.blocks.reaches) * HOP + N_FFT

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples, any number of them; return those that are ready, at the last call all."""
        self._taken += samples.shape[-1]
        self._samples = torch.cat([self._samples, samples], dim=-1)
        if last:
            self._samples = nn.functional.pad(self._samples, (0, -self._taken % HOP + N_FFT // 2))
        x = self._encode()
        blocks = self._net.blocks
        for number, (block, reach) in enumerate(zip(blocks, blocks.reaches, strict=True)):
            x = torch.cat([self._before[number], x], dim=1)
            if last:
                x = nn.functional.pad(x, (0, 0, 0, reach))
            self._before[number] = x[:, -2 * reach :]
            x = block(x) if x.shape[1] > 2 * reach else x[:, :0]
        if x.shape[1]:
            self._decode(x)
        return self._ready(last)

    def _encode(self) -> Tensor:
        """Take the complete frames from the samples: (1, frames, features)."""
        count = max(0, (self._samples.shape[-1] - N_FFT) // HOP + 1)
        if not count:
            return self._before[0][:, :0]
        spectrum = spectral_frames.analyse(self._samples, self._net.window)[..., : int(self._first)]
        self._samples = self._samples[:, count * HOP :]
        x, level = self._net.encode(spectrum, self._first)
        self._spectrum = torch.cat([self._spectrum, spectrum], dim=1)
        self._level = torch.cat([self._level, level], dim=1)
        return x

    def _decode(self, x: Tensor) -> None:
        """Restore the frames that the blocks' output (1, frames, features) belongs to."""
        net, first, count = self._net, self._first, x.shape[1]
        frames = slice(self._looked_back, self._looked_back + count)
        level, self._level = self._level[:, :count], self._level[:, count:]
        magnitude = net.decode(x, level, first, int(first))
        # There are frames to look ahead at: a convolution looks as far.
        fine = net.fine_structure(self._spectrum[:, : frames.stop + harmonics.REACH], first)
        fine = fine if fine is None else fine[:, frames]
        spectrum = net.reconstruct(self._spectrum[:, frames], magnitude, fine, first, self._restored_count)
        restored = spectral_frames.synthesize(spectrum, net.window)
        self._restored = torch.cat([self._restored, restored], dim=1)
        self._restored_count += count
        self._looked_back = min(frames.stop, harmonics.REACH)
        self._spectrum = self._spectrum[:, frames.stop - self._looked_back :]

    def _ready(self, last: bool) -> Tensor:
        """Return the samples on which no further frame depends."""
        # The next frame begins at the end.
        end = self._taken if last else self._restored_count * HOP - N_FFT // 2
        if end <= self._given:
            return self._samples[:, :0]
        start = (self._restored_count - self._restored.shape[1]) * HOP - N_FFT // 2
        ready = self._net.overlap_add(self._restored, slice(self._given - start, end - start))
        self._given = end
        self._restored = self._restored[:, -OVERLAPPING:]
        return ready
