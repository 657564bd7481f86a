"""What common resamplers with short filters take from sound that has been at a low rate and come back.

Long filters fall within a hundredth of an octave, as any cliff does. These begin to fall well before the low
rate's Nyquist frequency, but how is known, and so are the rates.
"""

import functools
from dataclasses import dataclass

import numpy as np

# Those that end far below what counts as full band.
RATES = (8000, 11025, 12000, 16000, 22050, 24000)
# In Nyquist frequencies of the low rate: where losses are given.
FREQUENCIES = np.arange(0.5, 1.5, 0.004)
NOTHING_LEFT = 200.0  # dB


@dataclass(frozen=True)
class Resampler:
    """Windowed sincs, one for the way down and one for the way back.

    Attributes:
        zeros: of the sinc, to each side, where the window ends.
        window: the beta of Kaiser's, or None for Hann's.
        down, up: the corners in Nyquist frequencies of the low rate.
    """

    zeros: int
    window: float | None
    down: float
    up: float

    @functools.cached_property
    def loss(self) -> np.ndarray:
        """How much less there is than there was at FREQUENCIES, in dB, of what was equally loud at all."""
        # What passes above the Nyquist frequency is folded under it, and leaves an image on the way back.
        under = np.minimum(FREQUENCIES, 2 - FREQUENCIES)
        passed = self._power(self.down, under) + self._power(self.down, 2 - under)
        left = passed * self._power(self.up, FREQUENCIES)
        decibels: np.ndarray = -10 * np.log10(left + 10 ** (-NOTHING_LEFT / 10))
        return decibels

    def _power(self, corner: float, at: np.ndarray) -> np.ndarray:
        """What a filter lets pass, as a factor of power."""
        # The transform of the filter in continuous time, of which its taps are samples: 8 from zero to zero.
        place = np.arange(-8 * self.zeros, 8 * self.zeros + 1) / 8
        window = np.hanning(len(place)) if self.window is None else np.kaiser(len(place), self.window)
        response: np.ndarray = np.cos(np.pi / corner * np.outer(at, place)) @ (np.sinc(place) * window) / 8
        return response**2


# By their defaults: FFmpeg's swresample, torchaudio.functional.resample, scipy.signal.resample_poly.
COMMON = (
    Resampler(zeros=16, window=9.0, down=0.97, up=1.0),
    Resampler(zeros=6, window=None, down=0.99, up=0.99),
    Resampler(zeros=10, window=5.0, down=1.0, up=1.0),
)


def half_power(loss: np.ndarray) -> float:
    """Where a loss comes to 3 dB, in Nyquist frequencies of the low rate."""
    last = np.flatnonzero(loss < 3)[-1]
    return float(np.interp(3, loss[last : last + 2], FREQUENCIES[last : last + 2]))
