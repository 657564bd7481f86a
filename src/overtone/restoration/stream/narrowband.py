"""Find narrowband passages: a guest on the telephone among voices in full band.

The cutoff of the recording does not show them, because it is where the louder moments end. So each window of
two seconds has a cutoff of its own, and the passages' cutoff is the one that most windows with a cutoff agree
on. Each frame then votes narrowband (nothing lies above that cutoff), wideband (something does) or undecided,
as in pauses. A two-state Viterbi search picks the segmentation with the best vote and few transitions.
"""

import math
from typing import NamedTuple

import numpy as np

from overtone.audio.cutoff import Cutoff, SpectrumMeter, band_levels, hann
from overtone.core.errors import OvertoneError
from overtone.restoration.stream.framer import Framer
from overtone.restoration.stream.limits import needs_restoring

WINDOW_SECONDS = 2.0  # half of it finds 10 % fewer cutoffs, and twice of it spans transitions
FRAME_SECONDS = 0.046  # to the next power of two: 2048 samples at 44.1 kHz
BANDS_PER_OCTAVE = 12
LOWEST_HZ = 1_000.0  # of the bands; half an octave under the lowest cutoff
# Of voices in full band, one window in seven has a cutoff, nearly all of them above this: the quiet ends of
# their own spectra, and codecs'. Wideband telephony ends at 7 to 8 kHz.
HIGHEST_HZ = 9_000.0
TOLERANCE = 0.05  # cutoffs whose natural logarithms differ by less agree
LEAST_WINDOWS = 3  # that agree
LEAST_AGREEING = 0.5  # of the windows inside the passages
# Levels are compared over bands from 3/4 of an octave below the cutoff up to it, and as far above it, but
# for a fifth of an octave in which filters fall.
REACH_OCTAVES, TRANSITION_OCTAVES = 0.75, 0.2
STEEP_DB = 30.0  # a frame that falls by so much at the cutoff has nothing above it
LOUDER_DB = 6.0  # above most of what is left there in the windows that agree: there is something
TRANSITION_COST = 8.0  # in frames' votes


class Passages(NamedTuple):
    """The narrowband passages of a recording.

    Attributes:
        cutoff: theirs; its confidence is the share of the sounding windows inside that agree on it. A
            restorer replaces what lies above it, so that noise over guest and host is gone there, too.
        spans: start and end of each in seconds, in order, apart from each other.
    """

    cutoff: Cutoff
    spans: tuple[tuple[float, float], ...]


def check_alone(cutoff: float | None, stems: object = None) -> None:
    """Raise if passages are asked for together with a cutoff or a separation into stems."""
    if cutoff is not None or stems:
        raise OvertoneError(
            "parts have a cutoff of their own, and no stems: leave out the cutoff and the stems"
        )


class PassageMeter:
    """Finds the narrowband passages of a signal that comes in blocks.

    It keeps the levels of every frame: 7 MB for an hour.

    Args:
        rate: in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._frame = 2 ** round(math.log2(rate * FRAME_SECONDS))
        self._per_window = round(WINDOW_SECONDS * rate / self._frame)
        self._hann = hann(self._frame)
        count = int(BANDS_PER_OCTAVE * math.log2(rate / 2 / LOWEST_HZ))
        self._starts = LOWEST_HZ * 2 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)  # and the last one's end
        self._edges = np.ceil(self._starts * self._frame / rate).astype(int)
        self._levels: list[np.ndarray] = []
        self._cutoffs: list[Cutoff] = []
        self._framer = Framer(self._per_window * self._frame, self._per_window * self._frame)

    def add(self, block: np.ndarray) -> None:
        """Measure the next samples, (channels, time) float32, any number of them."""
        for window in self._framer(block).swapaxes(0, 1):
            self._measure_window(window)

    def _measure_window(self, samples: np.ndarray) -> None:
        """Measure the cutoff of a window and the levels of its frames."""
        meter = SpectrumMeter(self.rate)
        meter.add(samples)
        self._cutoffs.append(meter.cutoff())
        frames = samples.reshape(len(samples), -1, self._frame)
        levels = band_levels(frames, self._hann, self._edges, self._frame)
        self._levels.append(levels.astype(np.float16))

    def passages(self) -> Passages | None:
        """Find the passages of all samples; None if there are none for certain. Call it once, at the end."""
        rest = self._framer.rest
        left = rest.shape[1] % self._frame
        if rest.shape[1] > left:
            self._measure_window(rest[:, : rest.shape[1] - left])
        agreeing = self._agreeing_windows()
        if len(agreeing) < LEAST_WINDOWS:
            return None
        hz = float(np.median([self._cutoffs[number].hz for number in agreeing]))
        inside = _best_path(self._votes(hz, agreeing))
        confidence = self._confidence(hz, inside)
        if confidence < LEAST_AGREEING:
            return None
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]]))) * self._frame
        if inside[-1]:
            edges[-1] += left  # the samples behind the last frame
        seconds = (edges / self.rate).tolist()
        kind = self._cutoffs[agreeing[0]].kind
        return Passages(
            Cutoff(hz, confidence, False, kind), tuple(zip(seconds[::2], seconds[1::2], strict=True))
        )

    def _agreeing_windows(self) -> list[int]:
        """Find the numbers of the windows that have the most frequent cutoff."""
        # There must be room above for something.
        highest = min(HIGHEST_HZ, self.rate / 2 / 2 ** (TRANSITION_OCTAVES + REACH_OCTAVES / 2))
        limited = [
            number
            for number, cutoff in enumerate(self._cutoffs)
            if needs_restoring(cutoff) and cutoff.hz <= highest
        ]
        if not limited:
            return []
        logs = np.log([self._cutoffs[number].hz for number in limited])
        ordered = np.sort(logs)
        near = np.searchsorted(ordered, logs + TOLERANCE) - np.searchsorted(ordered, logs - TOLERANCE)
        most = logs[near.argmax()]
        return [number for number, log in zip(limited, logs, strict=True) if abs(log - most) < TOLERANCE]

    def _votes(self, hz: float, agreeing: list[int]) -> np.ndarray:
        """Return each frame's vote: 1 if nothing lies above hz, -1 if something does, 0 if undecided."""
        levels = np.concatenate(self._levels).astype(np.float32)
        windows = np.arange(len(levels)) // self._per_window
        below = self._mean_level(levels, hz * 2**-REACH_OCTAVES, hz)
        above = self._mean_level(
            levels, hz * 2**TRANSITION_OCTAVES, hz * 2 ** (TRANSITION_OCTAVES + REACH_OCTAVES)
        )
        fall = below - above
        narrow = np.isin(windows, agreeing)
        left = float(np.percentile(above[narrow], 90))
        loud = narrow & (below >= np.percentile(below[narrow], 70))
        steep = min(STEEP_DB, 0.8 * float(np.median(fall[loud])))
        return np.where(fall >= steep, 1.0, np.where(above >= left + LOUDER_DB, -1.0, 0.0))

    def _mean_level(self, levels: np.ndarray, low: float, high: float) -> np.ndarray:
        """Average the level in dB of each frame's bands that lie between two frequencies."""
        chosen = (self._starts[:-1] >= low) & (self._starts[1:] <= high)
        level: np.ndarray = 10 * np.log10((10 ** (levels[:, chosen] / 10)).mean(axis=1))
        return level

    def _confidence(self, hz: float, inside: np.ndarray) -> float:
        """Compute the share of the sounding windows inside the passages that have this cutoff."""
        agree = []
        for number, cutoff in enumerate(self._cutoffs):
            frames = inside[number * self._per_window :][: self._per_window]
            if frames.all() and cutoff.kind != "silence":
                agree.append(abs(math.log(cutoff.hz / hz)) < TOLERANCE)
        return float(np.mean(agree)) if agree else 0.0


def _best_path(votes: np.ndarray) -> np.ndarray:
    """Find the state, 1 or 0, of each frame by Viterbi's algorithm.

    The path has the highest sum of votes in state 1, less those in state 0, less TRANSITION_COST for each
    transition.

    Shape:
        (frames,) -> (frames,).
    """
    best = np.zeros(2)
    changed = np.zeros((len(votes), 2), bool)
    for number, vote in enumerate(votes):
        other = best[::-1] - TRANSITION_COST
        changed[number] = other > best
        best = np.maximum(best, other) + np.array([-vote, vote])
    path = np.zeros(len(votes), int)
    state = int(best.argmax())
    for number in range(len(votes) - 1, -1, -1):
        path[number] = state
        state ^= int(changed[number, state])
    return path
