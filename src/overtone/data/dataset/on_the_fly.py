"""Degrade segments on the fly, on the device, from originals read with their context.

A segment degraded by itself differs at its ends from the same samples of the degraded track. So a window
around it is read and degraded, and the segment is cut out of the window::

    track     0 |.....|.....|.....|.....|.....|.....|.....|.....|.....|.....|.....|..  grid
    window            |~ context ~~|=========== segment ===========|~~~ context ~|

Windows begin on a grid on which samples of both rates lie (every 441 samples from 44.1 to 16 kHz), so that
the low-rate samples are those of the complete track. Where the track itself begins or ends, so does the
window.

The results are rounded to the pair's int16 steps, as stored ones are. The original has been rounded, too,
before it is filtered; so a result differs from the stored one by a step where rounding tips over, and else
not at all.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import scipy
import torch
from torch import Tensor

from overtone.data.dataset.batch import Batch
from overtone.data.pairs.degradation import DegradeSettings, group_delay, sections, through_low_rate

# A filter's response is cut off where the rest adds up to less than a thirtieth of an int16 step.
NEGLIGIBLE = 1e-6
# Low-rate samples that the two resamplings reach to each side: torchaudio's sinc kernels have six zero
# crossings at 0.99 of the Nyquist frequency, which is 6.06 samples each.
RESAMPLING_REACH = 14


class OnTheFlyDegradation:
    """`overtone.data.pairs.degradation.degrade` for windows of a track, on any device.

    Attributes:
        settings: the group ``degrade``.
        context: samples that must be known at each side of a segment.
    """

    def __init__(self, settings: DegradeSettings) -> None:
        self.settings = settings
        self._grid = settings.rate // math.gcd(settings.rate, settings.low_rate)
        self._delay = 0
        self._response = np.ones(1)
        if settings.filter != "none":
            sos = sections(settings)
            self._response = _response(sos, settings.rate)
            self._delay = round(group_delay(sos)) if settings.phase == "one_way" else 0
        reach = math.ceil(RESAMPLING_REACH * settings.rate / settings.low_rate)
        self.context = reach + len(self._response)
        # Of the response alone: a cache that held this object would be held by it, and freed late.
        self._spectrum = lru_cache(maxsize=8)(partial(_transform, self._response))

    def window(self, start: int, length: int) -> tuple[int, int]:
        """First sample and end of a segment's window; as long for every start, and perhaps before 0."""
        first = (start - self.context) // self._grid * self._grid
        return first, first + self._grid + length + 2 * self.context

    def __call__(self, samples: Tensor) -> Tensor:
        """Degrade (rows, time) that begin on the grid; what lies within the context of a cut is not valid."""
        # Convolutions in TF32, which is PyTorch's default on a GPU, keep ten bits: a step has fifteen.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            limited = through_low_rate(samples, self.settings)
        if self.settings.filter == "none":
            return limited
        time = samples.shape[-1]
        # Zeros behind the end for the response, which would wrap around to the beginning otherwise.
        size = scipy.fft.next_fast_len(time + len(self._response), real=True)
        response = self._spectrum(size, samples.device)
        filtered: Tensor = torch.fft.irfft(torch.fft.rfft(limited, size) * response, size)
        if self.settings.phase == "one_way":
            return filtered[..., self._delay : self._delay + time]
        # The filter of `degrade` sees zeros behind the end; so does the backward pass.
        back = torch.fft.rfft(filtered[..., :time], size) * response.conj()
        both_ways: Tensor = torch.fft.irfft(back, size)[..., :time]
        return both_ways

    def segments(self, windows: Tensor, offsets: Tensor, length: int, step: Tensor) -> tuple[Tensor, Tensor]:
        """Cut segments and their degraded versions out of windows.

        Args:
            windows: (rows, time) of the originals.
            offsets: (rows,), the index in its window where each row's segment begins.
            length: samples of a segment.
            step: (rows,), the value of an int16 step.

        Returns:
            (original, degraded), each (rows, length).
        """
        where = offsets[:, None] + torch.arange(length, device=windows.device)
        degraded = self(windows).gather(1, where)
        step = step[:, None]
        return windows.gather(1, where), (degraded / step).round() * step


def _response(sos: np.ndarray, longest: int) -> np.ndarray:
    """Compute a filter's impulse response, cut where the rest is negligible, at most ``longest`` samples."""
    impulse = np.zeros(longest)
    impulse[0] = 1
    response: np.ndarray = scipy.signal.sosfilt(sos, impulse)
    rest = np.cumsum(np.abs(response[::-1]))[::-1]
    return response[: max(1, int(np.count_nonzero(rest > NEGLIGIBLE)))]


def _transform(response: np.ndarray, size: int, device: torch.device) -> Tensor:
    """Compute a filter's response at the frequencies of a transform, on a device."""
    return torch.from_numpy(np.fft.rfft(response, size).astype(np.complex64)).to(device)


@dataclass(frozen=True)
class PendingBatch:
    """Segments of a batch whose degraded halves are computed on its device.

    Attributes:
        damage: computes them.
        windows: (time,) of each original with its context.
        offsets: index in its window where each segment begins.
        length: samples of a segment.
        step: (batch,), the value of an int16 step.
        divisor: (batch, 2), divisors of originals and of degraded segments.
        cutoff, bandwidth: (batch,), as a `Batch` has them.
    """

    damage: OnTheFlyDegradation
    windows: Sequence[Tensor]
    offsets: Sequence[int]
    length: int
    step: Tensor
    divisor: Tensor
    cutoff: Tensor
    bandwidth: Tensor

    def to(self, device: torch.device) -> Batch:
        """Compute the complete batch on a device."""
        both = torch.empty(2, len(self.windows), self.length, device=device)
        # Windows have one length, except where a track begins or ends.
        by_length = defaultdict(list)
        for row, window in enumerate(self.windows):
            by_length[len(window)].append(row)
        for rows in by_length.values():
            windows = torch.stack([self.windows[row] for row in rows]).to(device)
            offsets = torch.tensor([self.offsets[row] for row in rows], device=device)
            pair = self.damage.segments(windows, offsets, self.length, self.step[rows].to(device))
            for half, segments in zip(both, pair, strict=True):
                half[rows] = segments
        both /= self.divisor.T[:, :, None].to(device)
        return Batch(both[1], both[0], self.cutoff.to(device), self.bandwidth.to(device))
