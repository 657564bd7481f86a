"""Measure how a low-pass falls around a cutoff: what it has taken just under it and at it.

The spectrum's mean logarithm over the frames that sound, at the transform's own resolution, is modelled as a
straight line less the loss of a Butterworth filter of any corner and order; an infinite order is a cliff. The
fit with the least mean error wins. Filters of other kinds fall much alike in the first 10 dB, and what lies
deeper is filled in any case.
"""

import math
from typing import NamedTuple

import numpy as np

# Orders of the filters that are tried; of the last, the fall is within a bin.
ORDERS = (8, 11, 16, 22, 32, 45, 64, 90, 128, 250, 500, 4000)
# Corners are tried within this share of the cutoff found, in steps of so much.
REACH, STEP = 0.06, 0.001
# Shares of the cutoff that the fit looks at, and how far below the line, in dB.
LOW, HIGH, DEPTH = 0.7, 1.2, 25.0
# It must fall by so many dB within the last so many bins.
LEAST_FALL, FALL_BINS = 6.0, 8
# Ridge of the tilt's fit, in squared widths of what it looks at. With 0.025, 0.006 and 0.001 the corner of
# Butterworth filters of order 8 is found -2.5, -0.4 and 0 % off in the median, of cliffs 0.3 % (23 tracks).
RIDGE = 0.006


class Rolloff(NamedTuple):
    """The loss of a low-pass around its corner.

    Attributes:
        corner: where it is 3 dB down, in Hz.
        order: of the Butterworth filter that falls alike.
    """

    corner: float
    order: float

    def loss(self, hertz: np.ndarray) -> np.ndarray:
        """Compute the loss in dB, 0 or more, at frequencies in Hz."""
        octaves = np.log(np.maximum(hertz, 1e-3) / self.corner)
        loss: np.ndarray = 10 / math.log(10) * np.logaddexp(0, 2 * self.order * octaves)
        return loss

    def reaches(self, decibels: float) -> float:
        """Return the frequency in Hz where the loss reaches so many dB."""
        return float(self.corner * (10 ** (decibels / 10) - 1) ** (1 / (2 * self.order)))


def fit_rolloff(levels: np.ndarray, width: float, cutoff: float) -> Rolloff | None:
    """Fit the roll-off near a cutoff; None where there is too little to fit, or no fall.

    Args:
        levels: of the transform's bins in dB, (bins,), over the time that sounds.
        width: of a bin in Hz.
        cutoff: as found, in Hz.
    """
    first, end = math.ceil(LOW * cutoff / width), math.floor(HIGH * cutoff / width)
    end = min(end, len(levels) - 1)
    if end - first < 24:
        return None
    hertz, y = np.arange(first, end) * width, levels[first:end].astype(np.float64)
    corners = cutoff * np.arange(1 - REACH, 1 + REACH, STEP)
    models = [Rolloff(corner, order) for order in ORDERS for corner in corners]
    loss = np.stack([model.loss(hertz) for model in models])
    weight = np.where(loss < DEPTH / 2, 1.0, 0.0)
    weight /= np.maximum(weight.sum(-1, keepdims=True), 1e-9)
    x = (hertz - cutoff) / (hertz[-1] - hertz[0])
    level = y + loss
    middle, height = ((weight * of).sum(-1, keepdims=True) for of in (x, level))
    spread = (weight * (x - middle) ** 2).sum(-1, keepdims=True)
    lean = (weight * (x - middle) * (level - height)).sum(-1, keepdims=True)
    tilt = np.clip(lean / (spread + RIDGE), -30, 0)
    line = height + tilt * (x - middle)
    lowest = height - DEPTH
    errors = np.abs(np.maximum(line - loss, lowest) - np.maximum(y, lowest)).mean(-1)
    best = int(errors.argmin())
    fall = line[best, -FALL_BINS:] - y[-FALL_BINS:]
    return models[best] if np.median(fall) >= LEAST_FALL else None
