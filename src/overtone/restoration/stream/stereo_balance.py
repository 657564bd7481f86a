"""What is added to a channel of stereo that is far softer than the other stays far softer.

Stereo is restored as mid and side, by weights that differ. Of sound in one channel alone both hear the
same and add nearly the same, not quite: the other channel would get treble of its own, 13 dB under it. So,
frame by frame, the softer channel's treble is held by the levels of the octave below the cutoff::

    gain = min(1, 10^(MARGIN / 20) * soft / loud)

where soft and loud are the root mean squares of the channels there. As long as they are within MARGIN of
each other, it is 1.
"""

import numpy as np
import torch

from overtone.restoration.stream.fifo import Fifo

# Samples of a frame, Hann windowed, and from one to the next: 46 and 23 ms at 44.1 kHz.
SIZE, HOP = 2048, 1024
# In dB: how much nearer than below the cutoff the channels may be above it. With 14, 10 and 6 the image of 61
# tracks at 4 kHz, level between the channels, is off by 1.594, 1.616 and 1.676 dB; unheld by 1.591.
MARGIN = 14.0


class StereoBalance:
    """A stream of what is added to left and right, held to their levels; the same however it is cut.

    Args:
        cutoff: in Hz.
        rate: of the samples, in Hz.
    """

    # How far the output lags behind at most, in samples.
    latency = SIZE

    def __init__(self, cutoff: float, rate: int) -> None:
        top = max(2, round(cutoff / rate * SIZE))
        self._octave = slice(top // 2, top)
        self._window = np.hanning(SIZE + 1)[:-1].astype(np.float32)
        self._added, self._heard = Fifo(2), Fifo(2)
        # Half of the first frame lies before the start.
        self._heard.append(np.zeros((2, HOP), np.float32))
        self._gain = np.zeros((2, 0), np.float32)

    def hold(self, added: np.ndarray, heard: np.ndarray, last: bool) -> np.ndarray:
        """Take what is added and the input, (2, time) float32 each; give what is ready of the first."""
        self._added.append(added)
        self._heard.append(heard)
        if last:
            hops = -(-self._added.size // HOP)
            missing = (hops - self._gain.shape[1]) * HOP + SIZE - self._heard.size
            self._heard.append(np.zeros((2, max(0, missing)), np.float32))
        frames = max(0, (self._heard.size - SIZE) // HOP + 1)
        if frames:
            of_frames = self._gains(self._heard.peek((frames - 1) * HOP + SIZE))
            self._heard.take(frames * HOP)
            self._gain = np.concatenate([self._gain, of_frames], axis=1)
        # A hop lies in the second half of one frame and in the first of the next.
        first, second = self._gain[:, :-1, None], self._gain[:, 1:, None]
        gain = (first + (second - first) * self._window[:HOP]).reshape(2, -1)
        self._gain = self._gain[:, -1:]
        ready = self._added.take(gain.shape[1])
        held: np.ndarray = ready * gain[:, : ready.shape[1]]
        return held

    def _gains(self, heard: np.ndarray) -> np.ndarray:
        """The channels' gains in every frame: (2, time) to (2, frames)."""
        # By PyTorch: NumPy's transform takes three times as long, and all of this was 4 % of a run.
        frames = torch.from_numpy(np.ascontiguousarray(heard)).unfold(1, SIZE, HOP)
        octave = torch.fft.rfft(frames * torch.from_numpy(self._window))[..., self._octave]
        power = torch.view_as_real(octave).square().sum((-1, -2)).numpy()
        loudest = np.maximum(power.max(axis=0), 1e-30)
        gains: np.ndarray = np.minimum(1, np.sqrt(power / loudest) * 10 ** (MARGIN / 20)).astype(np.float32)
        return gains
