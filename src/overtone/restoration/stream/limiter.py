"""Lower the added band for some milliseconds where its sum with the input would pass full scale.

::

    input ──────────────────────────────► + ─► sum, nowhere over full scale where the input is not
    added band ─► gain ───────────────────┘
                 least gain within reach, smoothed

The input is never touched. Of every sample the largest gain is known that keeps the sum within full scale.
The gain that is applied is their minimum over REACH to each side, averaged over as much under a Hann window,
and therefore never larger than any of them::

    1 ------.                .------
             `.            .'
               `-.______.-'
                     |
                a peak      2 * REACH to each side of it, the gain is 1 again

All channels have the same gain, so that the image stays in its place.

Input that passes full scale itself, as decoded MP3 does at many of its peaks, would silence the added band
all the time. So the sum may go as far as the input does, REACH to each side. The input's samples over full
scale have no gain: they are clipped anyway, and the added band takes them no further.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.restoration.stream.curve_filter import CurveFilter
from overtone.restoration.stream.fifo import Fifo

# In seconds. A gain that varies spreads the added band. With 5, 10 and 20 ms the input of 15 tracks, with
# peaks at full scale and a cutoff of 8 kHz, changes by -51, -62 and -78 dB at most in the 300 Hz below the
# cutoff, and by -100 dB in all below it; of the added band 0.08, 0.13 and 0.20 dB are lost in the mean.
REACH = 0.020
# Minima are taken over blocks of so many samples, and gains computed for stretches of so many.
BLOCK, STRETCH = 64, 1 << 14
# A gain that counts as lowering: -0.1 dB.
AUDIBLE = 0.9886
# What gains, and sums in full scales, are lowered by for their rounding.
ROUNDING = 1e-6
# Input that peaks beyond this is not scaled to a full scale of 1 (integers read as floats), and has no limit.
MOST_PEAK = 4.0


class Limited(NamedTuple):
    """Tell how much an added band was lowered.

    Attributes:
        seconds: for so long, in all.
        decibels: by at most so much.
    """

    seconds: float
    decibels: float


class Limiter:
    """Adds the added band of a stream to its input within full scale, whatever the stream's blocks.

    Args:
        rate: in Hz.
        channels: their number.
        peak: the input's largest absolute sample.

    Attributes:
        latency: how many samples the sum lags behind at most.
    """

    def __init__(self, rate: int, channels: int, peak: float = 1.0) -> None:
        self._reach = round(REACH * rate)
        self._blocks = -(-self._reach // BLOCK)
        self.latency = self._reach + (2 * self._blocks + 1) * BLOCK
        self._limits = peak <= MOST_PEAK
        # No window value is zero, so that the taps sum to 1 over exactly their reach.
        taps = np.hanning(2 * self._reach + 3)[1:-1]
        self._smoothing = CurveFilter(taps / taps.sum(), 1)
        self._dry, self._added = Fifo(channels), Fifo(channels)
        # Of every block from number `_first` on, the input's peak, or 1. Of every sample that only the sum
        # takes over full scale: its time, the input in the added band's direction, the added band's size.
        self._peaks, self._first = np.zeros(0, np.float32), 0
        self._overs = np.zeros((3, 0))
        self._in = self._out = 0
        self._rate, self._lowest, self._lowered = rate, 1.0, 0

    @property
    def limited(self) -> Limited | None:
        """Tell how much the added band was lowered so far; None if it was not."""
        if not self._lowered:
            return None
        # Where the input is at full scale, nothing at all is added.
        return Limited(self._lowered / self._rate, float(-20 * np.log10(max(self._lowest, 1e-3))))

    def process(self, dry: np.ndarray, added: np.ndarray, last: bool) -> np.ndarray:
        """Take the next samples of input and added band and return the sum as far as it is known.

        Shape:
            (channels, time) float32 twice -> (channels, time), at the last call all that is left.
        """
        if not self._limits:
            plain: np.ndarray = dry + added
            return plain
        self._measure(dry, added)
        self._dry.append(dry)
        self._added.append(added)
        known = self._in // BLOCK - 2 * self._blocks
        end = self._in if last else max(self._out, known * BLOCK - self._reach)
        total = np.empty((len(dry), end - self._out), np.float32)
        for first in range(0, total.shape[1], STRETCH):
            part = total[:, first : first + STRETCH]
            dry, added = (samples.take(part.shape[1]) for samples in (self._dry, self._added))
            gain = self._gain(self._out + part.shape[1])
            part[:] = dry + (added if gain is None else gain * added)
            if max(dry.max(), -dry.min()) > 1:
                _keep_over(part, dry)
        return total

    def _measure(self, dry: np.ndarray, added: np.ndarray) -> None:
        """Note the input's peaks, and the samples whose sum is over full scale."""
        total, start = dry + added, self._in
        self._in += total.shape[1]
        blocks = -(-self._in // BLOCK) - self._first - len(self._peaks)
        self._peaks = np.concatenate([self._peaks, np.ones(max(0, blocks), np.float32)])
        if not total.size:
            return
        if max(dry.max(), -dry.min()) > 1:
            channels, times = np.nonzero(np.abs(dry) > 1)
            np.maximum.at(self._peaks, (times + start) // BLOCK - self._first, np.abs(dry[channels, times]))
        if max(total.max(), -total.min()) > 1:
            channels, times = np.nonzero((np.abs(total) > 1) & (np.abs(dry) <= 1))
            own, band = dry[channels, times], added[channels, times]
            overs = np.stack([times + start, own * np.sign(band), np.abs(band)])
            self._overs = np.concatenate([self._overs, overs], axis=1)

    def _gain(self, end: int) -> np.ndarray | None:
        """Compute the gain of the samples from the last output to an end, (time,); None if it is 1 in all.

        They count as output from then on, and what no later sample needs is dropped.
        """
        start, reach, near = self._out, self._reach, self._blocks
        first, stop = (start - reach) // BLOCK, -(-(end + reach) // BLOCK)
        numbers = (self._overs[0] // BLOCK).astype(int) - (first - near)
        wanted = (numbers >= 0) & (numbers < stop - first + 2 * near)
        gain = None
        if wanted.any():
            least = np.ones(stop - first + 2 * near)
            _, own, band = self._overs[:, wanted]
            ceiling = self._ceilings(first - near, stop + near)[numbers[wanted]]
            np.minimum.at(least, numbers[wanted], np.clip((ceiling - own) / band - ROUNDING, 0, 1))
            lowest = sliding_window_view(least, 2 * near + 1).min(axis=1).astype(np.float32)
            steps = lowest.repeat(BLOCK)[start - reach - first * BLOCK :][: end - start + 2 * reach]
            gain = 1 - self._smoothing.convolve(1 - steps[None])[0]
            self._lowest = min(self._lowest, float(gain.min()))
            self._lowered += int((gain < AUDIBLE).sum())
        dropped = max(0, (end - reach) // BLOCK - 2 * near - self._first)
        self._peaks, self._first, self._out = self._peaks[dropped:], self._first + dropped, end
        self._overs = self._overs[:, self._overs[0] >= self._first * BLOCK]
        return gain

    def _ceilings(self, first: int, stop: int) -> np.ndarray:
        """Return how far the sum may go in blocks: to the input's peak within reach, or to full scale."""
        numbers = np.arange(first - self._blocks, stop + self._blocks) - self._first
        inside = (numbers >= 0) & (numbers < len(self._peaks))
        peaks = np.where(inside, self._peaks[np.clip(numbers, 0, len(self._peaks) - 1)], 1)
        ceilings: np.ndarray = sliding_window_view(peaks, 2 * self._blocks + 1).max(axis=1) * (1 - ROUNDING)
        return ceilings


def _keep_over(total: np.ndarray, dry: np.ndarray) -> None:
    """Take a sum back, in place, to the input's samples where these are over full scale and it is further."""
    over = (np.abs(dry) > 1) & (np.abs(total) > np.abs(dry))
    total[over] = dry[over]
