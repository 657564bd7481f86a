"""Measure the spectral balance of a signal: its mean level in third octaves, while it sounds.

Two recordings that are balanced alike below a cutoff are likely to be balanced alike above it
(`overtone.restoration.reference`).
"""

import numpy as np

from overtone.audio.cutoff import band_levels, hann
from overtone.restoration.stream.fifo import Fifo

# A frame of 93 ms is measured every 0.37 s, which takes 1 % of what measuring a cutoff takes.
FRAME_SECONDS, HOP = 0.093, 4
LOWEST_HZ, PER_OCTAVE = 100.0, 3
# Frames further below the loudest are pauses.
ACTIVE_DB = 40.0


class BalanceMeter:
    """Measures the balance of a signal that comes in blocks; it keeps 300 bytes for a second.

    Args:
        rate: in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frame = 2 ** round(np.log2(rate * FRAME_SECONDS))
        count = int(PER_OCTAVE * np.log2(rate / 2 / LOWEST_HZ))
        starts = LOWEST_HZ * 2 ** (np.arange(count + 1) / PER_OCTAVE)
        self._edges = np.ceil(starts * self._frame / rate).astype(int)
        self._window = hann(self._frame)
        self._levels: list[np.ndarray] = []
        self._held: Fifo | None = None

    def add(self, block: np.ndarray) -> None:
        """Measure the next samples, (channels, time) float32."""
        if self._held is None:
            self._held = Fifo(len(block))
        self._held.append(block)
        while self._held.size >= HOP * self._frame:
            self._measure(self._held.take(HOP * self._frame))

    def levels(self) -> np.ndarray:
        """Average the level in dB of every third octave from LOWEST_HZ to half the rate, (bands,).

        It is empty of a signal that is shorter than a frame.
        """
        if self._held is not None and self._held.size >= self._frame and not self._levels:
            self._measure(self._held.peek(self._frame))
        if not self._levels:
            return np.zeros(0)
        levels = np.stack(self._levels)
        loudness = levels.max(axis=1)
        mean: np.ndarray = levels[loudness >= loudness.max() - ACTIVE_DB].mean(axis=0)
        return mean

    def _measure(self, samples: np.ndarray) -> None:
        self._levels.append(band_levels(samples[:, : self._frame], self._window, self._edges, self._frame))


def balance_distance(first: np.ndarray, second: np.ndarray, cutoff: float) -> float:
    """Compare the levels of two recordings, by `BalanceMeter.levels`, below a cutoff in Hz.

    The distance is the standard deviation over the third octaves in dB, so that a difference of loudness does
    not count; it is infinite without two of them to compare.
    """
    bands = min(len(first), len(second), int(PER_OCTAVE * np.log2(cutoff / LOWEST_HZ)))
    return float(np.std(first[:bands] - second[:bands])) if bands >= 2 else float("inf")
