"""Raise quiet input to the level that networks are trained at, and undo it on their output.

Networks are trained on segments that peak within 24 dB of full scale (`train.augment.gain_db`). A quiet
passage, or the side of a stereo recording, lies further down, and there they do worse (docs/experiments.md,
60 and 61).
"""

import torch
from torch import Tensor, nn

from overtone.restoration.stream.framer import Framer

# Samples of a block, and how many blocks count on both sides: 0.28 s.
HOP, REACH = 4096, 3
# Of the networks' scale, under which nothing is raised further: -60 dB of the recording's peak.
FLOOR = 1e-3
# The level that all louder input is brought to.
TARGET = 10 ** (-8 / 20)


class GainControl:
    """Brings a stream to the training level before a network, and the network's stream back after it.

    Args:
        device: of the samples.

    Attributes:
        latency: how many samples the output of `apply` lags behind at most.
    """

    def __init__(self, device: torch.device) -> None:
        self._envelope = Envelope(device)
        # Samples whose gain is not known yet, and the gains of samples that are inside the network.
        self._waiting = self._gains = torch.zeros(1, 0, device=device)
        self.latency = self._envelope.latency

    def apply(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples; return them times their gains as far as known, at the last call all."""
        gains = TARGET / self._envelope(samples, last)
        self._waiting = torch.cat([self._waiting, samples], dim=-1)
        ready, self._waiting = self._waiting.tensor_split([gains.shape[-1]], dim=-1)
        self._gains = torch.cat([self._gains, gains], dim=-1)
        return ready * gains

    def undo(self, output: Tensor) -> Tensor:
        """Divide a network's output, (1, time), by the gains of the input samples in the same places."""
        gains, self._gains = self._gains.tensor_split([output.shape[-1]], dim=-1)
        return output / gains


class Envelope:
    """Computes a smooth peak level for every sample of a stream, whatever its blocks.

    The largest absolute sample of all blocks within reach; the mean of its logarithm over as many blocks,
    under a Hann window; linear interpolation from one block's middle to the next.

    Args:
        device: of the samples.
    """

    # How many samples the output lags behind at most.
    latency = (2 * REACH + 2) * HOP

    def __init__(self, device: torch.device) -> None:
        window = torch.hann_window(2 * REACH + 3, periodic=False, device=device)[1:-1]
        self._window = (window / window.sum())[None, None]
        self._ramp = torch.arange(HOP, device=device) / HOP
        self._framer = Framer(HOP, HOP)
        # Of every block the logarithm of its largest sample: 4 bytes for 93 ms.
        self._peaks = torch.zeros(0, device=device)
        self._done = 0  # samples whose level was returned

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples; return the levels that are known, (1, time), at the last call all."""
        blocks = self._framer(samples, last)[0]
        self._peaks = torch.cat([self._peaks, blocks.abs().amax(1).clamp_min(FLOOR).log()])
        total = len(self._peaks)
        ready = total if last else total - 2 * REACH
        end = self._framer.samples if last else max(ready * HOP - HOP // 2, 0)
        if end <= self._done:
            return samples[:, :0]
        # Either no level was returned yet, or all up to the middle of this block.
        first = self._done // HOP
        # The first and the last block's peaks continue beyond the ends.
        near = torch.arange(first - 2 * REACH, ready + 2 * REACH, device=self._peaks.device)
        largest = nn.functional.max_pool1d(self._peaks[near.clamp(0, total - 1)][None], 2 * REACH + 1, 1)
        smooth = nn.functional.conv1d(largest[None], self._window)[0, 0].exp()
        lines = torch.lerp(smooth[:-1, None], smooth[1:, None], self._ramp).flatten()
        levels = torch.cat([smooth[:1].expand(HOP // 2), lines, smooth[-1:].expand(HOP)])
        start = first * HOP
        out = levels[None, self._done - start : end - start]
        self._done = end
        return out
