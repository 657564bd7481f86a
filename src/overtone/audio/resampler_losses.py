"""Compute the loss over frequency of common resamplers with short filters, to a low rate and back.

Long filters fall within a hundredth of an octave, as any cliff does. Short ones begin to fall well below the
low rate's Nyquist frequency, in a way that is known, and so are the rates.
"""

import functools
from dataclasses import dataclass

import numpy as np

# Low rates that end far below full band, in Hz.
RATES = (8000, 11025, 12000, 16000, 22050, 24000)
# Frequencies of the losses, in Nyquist frequencies of the low rate.
FREQUENCIES = np.arange(0.5, 1.5, 0.004)
NOTHING_LEFT = 200.0  # dB


@dataclass(frozen=True)
class Resampler:
    """A resampler by windowed sincs, one for the way down and one for the way up.

    Attributes:
        zeros: zero crossings of the sinc to each side, where the window ends.
        window: beta of a Kaiser window, None for a Hann window.
        down, up: corners in Nyquist frequencies of the low rate.
    """

    zeros: int
    window: float | None
    down: float
    up: float

    @functools.cached_property
    def loss(self) -> np.ndarray:
        """Loss in dB at FREQUENCIES of a signal with a flat spectrum."""
        # The passed part above the Nyquist frequency is folded below it, and leaves an image on the way up.
        under = np.minimum(FREQUENCIES, 2 - FREQUENCIES)
        passed = self._power(self.down, under) + self._power(self.down, 2 - under)
        left = passed * self._power(self.up, FREQUENCIES)
        decibels: np.ndarray = -10 * np.log10(left + 10 ** (-NOTHING_LEFT / 10))
        return decibels

    def _power(self, corner: float, at: np.ndarray) -> np.ndarray:
        """Return the power response of a filter at some frequencies."""
        # The transform of the filter in continuous time, of which its taps are samples: 8 from zero to zero.
        time = np.arange(-8 * self.zeros, 8 * self.zeros + 1) / 8
        window = np.hanning(len(time)) if self.window is None else np.kaiser(len(time), self.window)
        response: np.ndarray = np.cos(np.pi / corner * np.outer(at, time)) @ (np.sinc(time) * window) / 8
        return response**2


# By their defaults: FFmpeg's swresample, torchaudio.functional.resample, scipy.signal.resample_poly.
COMMON = (
    Resampler(zeros=16, window=9.0, down=0.97, up=1.0),
    Resampler(zeros=6, window=None, down=0.99, up=0.99),
    Resampler(zeros=10, window=5.0, down=1.0, up=1.0),
)


def half_power(loss: np.ndarray) -> float:
    """Return the frequency where a loss reaches 3 dB, in Nyquist frequencies of the low rate."""
    last = np.flatnonzero(loss < 3)[-1]
    return float(np.interp(3, loss[last : last + 2], FREQUENCIES[last : last + 2]))
