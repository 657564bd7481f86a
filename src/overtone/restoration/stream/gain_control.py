"""What networks hear is evened out, and what they make of it is brought back to the level that it had.

They learn from segments that peak within 24 dB of full scale (`train.augment.gain_db`). A quiet passage, or
the side of a stereo recording, lies further down, and there they do worse (docs/experiments.md, 60 and 61).
"""

import torch
from torch import Tensor, nn

# Samples of a block, and how many blocks count to both sides: 0.28 s.
HOP, REACH = 4096, 3
# At the networks' scale, under which nothing is lifted further: -60 dB of the recording's peak.
FLOOR = 1e-3
# The level at which they hear all that is louder than that.
HEARD = 10 ** (-8 / 20)


class GainControl:
    """A signal that comes in pieces, on its way to a network that is run as a stream, and back.

    Args:
        device: where the signal is.
    """

    def __init__(self, device: torch.device) -> None:
        self._levels = Levels(device)
        # What has no gain yet, and the gains of what was evened out and has not come back.
        self._waiting = self._gains = torch.zeros(1, 0, device=device)
        self.latency = self._levels.latency

    def even(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples; give those that are ready, evened out, at the last call all."""
        gains = HEARD / self._levels(samples, last)
        self._waiting = torch.cat([self._waiting, samples], dim=-1)
        ready, self._waiting = self._waiting.tensor_split([gains.shape[-1]], dim=-1)
        self._gains = torch.cat([self._gains, gains], dim=-1)
        return ready * gains

    def undo(self, made: Tensor) -> Tensor:
        """Take (1, time) samples that were made of those; give them at their own level."""
        gains, self._gains = self._gains.tensor_split([made.shape[-1]], dim=-1)
        return made / gains


class Levels:
    """The level of a signal that comes in pieces, smooth, for every sample; the same however it is cut.

    The largest sample of the blocks within reach; of its logarithm the mean over as many blocks again, under
    a Hann window; straight lines from one block's middle to the next.
    """

    # Samples that what comes out lags behind at most.
    latency = (2 * REACH + 2) * HOP

    def __init__(self, device: torch.device) -> None:
        window = torch.hann_window(2 * REACH + 3, periodic=False, device=device)[1:-1]
        self._window = (window / window.sum())[None, None]
        self._ramp = torch.arange(HOP, device=device) / HOP
        # Samples of a block that is not complete; logarithms of all blocks' largest: 4 bytes for 93 ms.
        self._rest = torch.zeros(1, 0, device=device)
        self._peaks = torch.zeros(0, device=device)
        self._taken = self._given = 0

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples; give the levels that are ready, (1, time), at the last call all."""
        self._taken += samples.shape[-1]
        self._rest = torch.cat([self._rest, samples], dim=-1)
        if last:
            self._rest = nn.functional.pad(self._rest, (0, -self._rest.shape[-1] % HOP))
        count = self._rest.shape[-1] // HOP
        blocks = self._rest[0, : count * HOP].reshape(count, HOP).abs().amax(1)
        self._peaks = torch.cat([self._peaks, blocks.clamp_min(FLOOR).log()])
        self._rest = self._rest[:, count * HOP :]
        total = len(self._peaks)
        ready = total if last else total - 2 * REACH
        end = self._taken if last else max(ready * HOP - HOP // 2, 0)
        if end <= self._given:
            return samples[:, :0]
        # Nothing is given yet, or all up to the middle of this block.
        first = self._given // HOP
        # Before the start and after the end it goes on as it is there.
        near = torch.arange(first - 2 * REACH, ready + 2 * REACH, device=self._peaks.device)
        largest = nn.functional.max_pool1d(self._peaks[near.clamp(0, total - 1)][None], 2 * REACH + 1, 1)
        smooth = nn.functional.conv1d(largest[None], self._window)[0, 0].exp()
        lines = torch.lerp(smooth[:-1, None], smooth[1:, None], self._ramp).flatten()
        levels = torch.cat([smooth[:1].expand(HOP // 2), lines, smooth[-1:].expand(HOP)])
        start = first * HOP
        out = levels[None, self._given - start : end - start]
        self._given = end
        return out
