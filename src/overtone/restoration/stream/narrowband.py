"""Parts of a recording that end lower than the rest: a guest on the telephone among voices in full band.

The cutoff of the whole says nothing of them, for it is where the recording's louder moments end. Here every
window of two seconds has its own; what most of those agree on that have one is the parts' cutoff. Frame by
frame, there is then nothing above it, or there is something, or it cannot be told, as in pauses. Of all ways
to go in and out of parts, that one is taken which agrees with the most frames and turns the least (Viterbi's
algorithm, two states).
"""

import math
from typing import NamedTuple

import numpy as np

from overtone.audio.cutoff import Cutoff, SpectrumMeter, band_levels, hann
from overtone.core.errors import OvertoneError
from overtone.restoration.stream.fifo import Fifo
from overtone.restoration.stream.limits import needs_restoring

WINDOW_SECONDS = 2.0  # half of it finds 10 % fewer cutoffs, and twice of it spans turns
FRAME_SECONDS = 0.046  # to the next power of two: 2048 samples at 44.1 kHz
BANDS_PER_OCTAVE = 12
LOWEST_HZ = 1_000.0  # of the bands; half an octave under the lowest cutoff
# Of voices in full band, one window in seven is told a cutoff, nearly all of them above this: the soft ends
# of their own spectra, and codecs'. Wideband telephony ends at 7 to 8 kHz.
HIGHEST_HZ = 9_000.0
NEAR = 0.05  # cutoffs that differ by less, as natural logarithms, are one
LEAST_WINDOWS = 3  # that agree
LEAST_AGREEING = 0.5  # of the windows inside the parts
# Levels are compared over bands from 3/4 of an octave below the cutoff up to it, and as far above it, but
# for a fifth of an octave in which filters fall.
REACH, FALL = 0.75, 0.2
STEEP_DB = 30.0  # a frame that falls by so much at the cutoff has nothing above it
LOUDER_DB = 6.0  # than most of what is left above in the windows that agree: there is something
TURN = 8.0  # frames that must say otherwise for a turn


class Passages(NamedTuple):
    """Parts that end lower than the rest.

    Attributes:
        cutoff: where; its confidence is the share of the sounding windows inside that agree on it. A
            restorer makes anew what lies above it, so that a hiss over guest and host is gone there, too.
        spans: start and end of each in seconds, in order, apart from each other.
    """

    cutoff: Cutoff
    spans: tuple[tuple[float, float], ...]


def check_alone(cutoff: float | None, stems: object = None) -> None:
    """Raise if a cutoff is given, or what separates into stems: neither goes together with parts."""
    if cutoff is not None or stems:
        raise OvertoneError(
            "parts have a cutoff of their own, and no stems: leave out the cutoff and the stems"
        )


class PassageMeter:
    """Finds the parts of a signal that comes in blocks.

    It keeps the levels of every frame: 7 MB for an hour.

    Args:
        rate: in Hz.
        channels: how many.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate = rate
        self._frame = 2 ** round(math.log2(rate * FRAME_SECONDS))
        self._per_window = round(WINDOW_SECONDS * rate / self._frame)
        self._window = hann(self._frame)
        count = int(BANDS_PER_OCTAVE * math.log2(rate / 2 / LOWEST_HZ))
        self._starts = LOWEST_HZ * 2 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)  # and the last one's end
        self._edges = np.ceil(self._starts * self._frame / rate).astype(int)
        self._levels: list[np.ndarray] = []
        self._cutoffs: list[Cutoff] = []
        self._held = Fifo(channels)

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time) float32, any number of them; nobody may change them."""
        self._held.append(block)
        length = self._per_window * self._frame
        while self._held.size >= length:
            self._end_window(self._held.take(length))

    def _end_window(self, samples: np.ndarray) -> None:
        """Measure the cutoff of a window and the levels of its frames."""
        meter = SpectrumMeter(self.rate)
        meter.add(samples)
        self._cutoffs.append(meter.cutoff())
        frames = samples.reshape(len(samples), -1, self._frame)
        levels = band_levels(frames, self._window, self._edges, self._frame)
        self._levels.append(levels.astype(np.float16))

    def parts(self) -> Passages | None:
        """The parts of all samples; None if there are none for certain. The last thing to be asked."""
        if self._held.size >= self._frame:
            self._end_window(self._held.take(self._held.size // self._frame * self._frame))
        agreeing = self._agreeing()
        if len(agreeing) < LEAST_WINDOWS:
            return None
        hz = float(np.median([self._cutoffs[number].hz for number in agreeing]))
        inside = _path(self._scores(hz, agreeing))
        confidence = self._confidence(hz, inside)
        if confidence < LEAST_AGREEING:
            return None
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]]))) * self._frame
        if inside[-1]:
            edges[-1] += self._held.size  # what is left is no whole frame
        seconds = (edges / self.rate).tolist()
        kind = self._cutoffs[agreeing[0]].kind
        return Passages(
            Cutoff(hz, confidence, False, kind), tuple(zip(seconds[::2], seconds[1::2], strict=True))
        )

    def _agreeing(self) -> list[int]:
        """The windows that have the cutoff that most have."""
        # There must be room above for something.
        highest = min(HIGHEST_HZ, self.rate / 2 / 2 ** (FALL + REACH / 2))
        able = [
            number
            for number, cutoff in enumerate(self._cutoffs)
            if needs_restoring(cutoff) and cutoff.hz <= highest
        ]
        if not able:
            return []
        logs = np.log([self._cutoffs[number].hz for number in able])
        ordered = np.sort(logs)
        near = np.searchsorted(ordered, logs + NEAR) - np.searchsorted(ordered, logs - NEAR)
        most = logs[near.argmax()]
        return [number for number, log in zip(able, logs, strict=True) if abs(log - most) < NEAR]

    def _scores(self, hz: float, agreeing: list[int]) -> np.ndarray:
        """For each frame 1 if nothing lies above hz, -1 if something does, 0 if that cannot be told."""
        levels = np.concatenate(self._levels).astype(np.float32)
        windows = np.arange(len(levels)) // self._per_window
        below = self._level(levels, hz * 2**-REACH, hz)
        above = self._level(levels, hz * 2**FALL, hz * 2 ** (FALL + REACH))
        fall = below - above
        known = np.isin(windows, agreeing)
        left = float(np.percentile(above[known], 90))
        loud = known & (below >= np.percentile(below[known], 70))
        steep = min(STEEP_DB, 0.8 * float(np.median(fall[loud])))
        return np.where(fall >= steep, 1.0, np.where(above >= left + LOUDER_DB, -1.0, 0.0))

    def _level(self, levels: np.ndarray, low: float, high: float) -> np.ndarray:
        """The level in dB of each frame's bands that lie between two frequencies."""
        chosen = (self._starts[:-1] >= low) & (self._starts[1:] <= high)
        level: np.ndarray = 10 * np.log10((10 ** (levels[:, chosen] / 10)).mean(axis=1))
        return level

    def _confidence(self, hz: float, inside: np.ndarray) -> float:
        """The share of the sounding windows that lie inside and have this cutoff."""
        agree = []
        for number, cutoff in enumerate(self._cutoffs):
            frames = inside[number * self._per_window :][: self._per_window]
            if frames.all() and cutoff.kind != "silence":
                agree.append(abs(math.log(cutoff.hz / hz)) < NEAR)
        return float(np.mean(agree)) if agree else 0.0


def _path(scores: np.ndarray) -> np.ndarray:
    """1 or 0 for each frame: the path of the highest sum of scores where it is 1, less those where it is 0.

    Each turn from one to the other costs TURN.
    """
    best = np.zeros(2)
    turned = np.zeros((len(scores), 2), bool)
    for number, score in enumerate(scores):
        other = best[::-1] - TURN
        turned[number] = other > best
        best = np.maximum(best, other) + np.array([-score, score])
    path = np.zeros(len(scores), int)
    state = int(best.argmax())
    for number in range(len(scores) - 1, -1, -1):
        path[number] = state
        state ^= int(turned[number, state])
    return path
