"""Raise quiet input to the level that networks are trained at, and undo it on their output.

Networks are trained on segments that peak within 24 dB of full scale (`train.augment.gain_db`). A quiet
passage, or the side of a stereo recording, lies further down, and there they do worse (docs/experiments.md,
60 and 61).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.restoration.stream.framer import Framer

# Samples of a block, and how many blocks count on both sides: 0.28 s.
HOP, REACH = 4096, 3
# Of the networks' scale, under which nothing is raised further: -60 dB of the recording's peak.
FLOOR = 1e-3
# The level that all louder input is brought to.
TARGET = 10 ** (-8 / 20)


class GainControl:
    """Brings a stream to the training level before a network, and the network's stream back after it.

    Attributes:
        latency: how many samples the output of `apply` lags behind at most.
    """

    def __init__(self) -> None:
        self._envelope = Envelope()
        # Samples whose gain is not known yet, and the gains of samples that are inside the network.
        self._waiting = self._gains = np.zeros((1, 0), np.float32)
        self.latency = self._envelope.latency

    def apply(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take (1, time) samples; return them times their gains as far as known, at the last call all."""
        gains = np.float32(TARGET) / self._envelope(samples, last)
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        ready, self._waiting = np.split(self._waiting, [gains.shape[1]], axis=1)
        self._gains = np.concatenate([self._gains, gains], axis=1)
        return ready * gains

    def undo(self, output: np.ndarray) -> np.ndarray:
        """Divide a network's output, (1, time), by the gains of the input samples in the same places."""
        gains, self._gains = np.split(self._gains, [output.shape[1]], axis=1)
        restored: np.ndarray = output / gains
        return restored


class Envelope:
    """Computes a smooth peak level for every sample of a stream, whatever its blocks.

    The largest absolute sample of all blocks within reach; the mean of its logarithm over as many blocks,
    under a Hann window; linear interpolation from one block's middle to the next.
    """

    # How many samples the output lags behind at most.
    latency = (2 * REACH + 2) * HOP

    def __init__(self) -> None:
        window = np.hanning(2 * REACH + 3)[1:-1]
        self._window = window / window.sum()
        self._ramp = np.arange(HOP, dtype=np.float32) / np.float32(HOP)
        self._framer = Framer(HOP, HOP)
        # Of every block the logarithm of its largest sample: 4 bytes for 93 ms.
        self._peaks = np.zeros(0, np.float32)
        self._done = 0  # samples whose level was returned

    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take (1, time) samples; return the levels that are known, (1, time), at the last call all."""
        blocks = self._framer(samples, last)[0]
        peaks = np.maximum(blocks.max(axis=1, initial=0), -blocks.min(axis=1, initial=0))
        self._peaks = np.concatenate([self._peaks, np.log(np.maximum(peaks, np.float32(FLOOR)))])
        total = len(self._peaks)
        ready = total if last else total - 2 * REACH
        end = self._framer.samples if last else max(ready * HOP - HOP // 2, 0)
        if end <= self._done:
            return samples[:, :0]
        # Either no level was returned yet, or all up to the middle of this block.
        first = self._done // HOP
        # The first and the last block's peaks continue beyond the ends.
        near = np.clip(np.arange(first - 2 * REACH, ready + 2 * REACH), 0, total - 1)
        largest = sliding_window_view(self._peaks[near], 2 * REACH + 1).max(axis=1)
        smooth = np.exp(np.convolve(largest, self._window, "valid")).astype(np.float32)
        lines = smooth[:-1, None] + (smooth[1:] - smooth[:-1])[:, None] * self._ramp
        levels = np.concatenate([np.repeat(smooth[:1], HOP // 2), lines.ravel(), np.repeat(smooth[-1:], HOP)])
        start = first * HOP
        out = levels[None, self._done - start : end - start]
        self._done = end
        return out
