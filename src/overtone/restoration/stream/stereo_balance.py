"""Keep the added band of a far quieter stereo channel as far below the other channel as its low band is.

Stereo is restored as mid and side, with different weights. If only one channel has sound, mid and side hold
the same signal and gain nearly the same band, but not quite: the other channel would get a band of its own,
13 dB under the first one's. So in every frame the quieter channel's added band is attenuated by the levels of
the octave below the cutoff::

    gain = min(1, 10^(MARGIN / 20) * quiet / loud)

where quiet and loud are the channels' root mean squares there. While they are within MARGIN of each other,
the gain is 1.
"""

import numpy as np

from overtone.core.arrays import hann_window, windowed_rfft
from overtone.restoration.stream.fifo import Fifo
from overtone.restoration.stream.framer import Framer

# Samples of a frame, Hann windowed, and from one to the next: 46 and 23 ms at 44.1 kHz.
SIZE, HOP = 2048, 1024
# In dB: how much nearer than below the cutoff the channels may be above it. With 14, 10 and 6 the image of 61
# tracks at 4 kHz, level between the channels, is off by 1.594, 1.616 and 1.676 dB; without it by 1.591.
MARGIN = 14.0


class StereoBalance:
    """Attenuates the added band of a stream's left and right channel by their levels, whatever its blocks.

    Args:
        cutoff: in Hz.
        rate: of the samples, in Hz.
    """

    # How many samples the output lags behind at most.
    latency = SIZE

    def __init__(self, cutoff: float, rate: int) -> None:
        top = max(2, round(cutoff / rate * SIZE))
        self._octave = slice(top // 2, top)
        self._window = hann_window(SIZE)
        self._rise = self._window[:HOP]
        self._added = Fifo(2)
        self._framer = Framer(SIZE, HOP, padding=HOP)
        # Of the frames whose second half is not done: one at most.
        self._gains = np.zeros((2, 0), np.float32)

    def apply(self, added: np.ndarray, samples: np.ndarray, last: bool) -> np.ndarray:
        """Attenuate the added band.

        Args:
            added: the added band, (2, time) float32.
            samples: the input that it is added to, of the same shape.
            last: whether they end the stream.

        Returns:
            (2, time): as much of the added band as is done, at the last call all.
        """
        self._added.append(added)
        frames = self._framer(samples, last)
        if frames.shape[1]:
            self._gains = np.concatenate([self._gains, self._measure(frames)], axis=1)
        # A hop lies in the second half of one frame and in the first of the next.
        first, second = self._gains[:, :-1, None], self._gains[:, 1:, None]
        gain = (first + (second - first) * self._rise).reshape(2, -1)
        self._gains = self._gains[:, -1:]
        ready = self._added.take(gain.shape[1])
        attenuated: np.ndarray = ready * gain[:, : ready.shape[1]]
        return attenuated

    def _measure(self, frames: np.ndarray) -> np.ndarray:
        """Compute the channels' gains in every frame: (2, frames, SIZE) to (2, frames)."""
        octave = windowed_rfft(frames, self._window)[..., self._octave]
        power = (octave.real**2 + octave.imag**2).sum(axis=-1)
        loudest = np.maximum(power.max(axis=0), 1e-30)
        gains: np.ndarray = np.minimum(1, np.sqrt(power / loudest) * 10 ** (MARGIN / 20)).astype(np.float32)
        return gains
