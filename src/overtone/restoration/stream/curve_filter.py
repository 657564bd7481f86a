"""Convolve the added band with the taps of its gain curve: as a stream, or a stretch of a stored signal.

The command filters a stream, the page a stretch at a time. Both call `CurveFilter.convolve`, so that what the
page plays and saves is what the command writes.
"""

import numpy as np


class CurveFilter:
    """Filters a stream by linear-phase taps, without delay: beyond both ends of the stream are zeros.

    Args:
        taps: of `overtone.restoration.stream.added_band.impulse_response`, an odd number of them.
        channels: of the stream.

    Attributes:
        half: samples on each side that an output sample depends on.
    """

    def __init__(self, taps: np.ndarray, channels: int) -> None:
        self.half = len(taps) // 2
        # Two to four times the taps: 8192 at 44.1 kHz, which stays in the processor's cache.
        self._size = 2 << (len(taps) - 1).bit_length()
        self._response = np.fft.rfft(taps.astype(np.float32), self._size)
        self._held = np.zeros((channels, self.half), np.float32)

    def process(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Take the next (channels, time) samples and return those of the output that no later one affects."""
        if last:
            block = np.pad(block, ((0, 0), (0, self.half)))
        held = np.concatenate([self._held, block], axis=1)
        ready = max(0, held.shape[1] - 2 * self.half)
        self._held = held[:, ready:]
        return self.convolve(held)

    def convolve(self, samples: np.ndarray) -> np.ndarray:
        """Convolve samples that have their context on both sides, by overlap-save.

        Shape:
            (channels, half + time + half) -> (channels, time).
        """
        time = max(0, samples.shape[1] - 2 * self.half)
        step = self._size - 2 * self.half
        frames = -(-time // step)
        padded = np.pad(samples, ((0, 0), (0, frames * step - time)))
        out = np.empty((len(samples), frames * step), np.float32)
        for start in range(0, frames * step, step):
            spectrum = np.fft.rfft(padded[:, start : start + self._size])
            # The first 2 * half samples of a frame are wrapped around.
            wave = np.fft.irfft(spectrum * self._response, self._size)
            out[:, start : start + step] = wave[:, 2 * self.half :]
        return out[:, :time]
