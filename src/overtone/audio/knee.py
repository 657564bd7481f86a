"""Fit the knee of a low-pass to a spectrum's curve: the frequency where it is 3 dB down.

The music is modelled as a straight line in dB over octaves, the low-pass as a Butterworth filter of any
corner and order or as a common resampler (`overtone.audio.resampler_losses`). The fit with the least mean
error wins.
"""

import math

import numpy as np

KNEE_SLOPES = (1.0, 1.5, 2.0, 4.0, 10.0, 20.0)  # dB per band: 1 is 48 dB an octave, order 8
RESAMPLER_REACH = 22  # bands from where a resampler is 3 dB down to where its fall is seen
RIDGE = 80.0  # in bands squared: the tilt's prior weighs as much as bands 9 off the middle


def fit_knee(
    curve: np.ndarray,
    floor: float,
    depth: int,
    first: int,
    last: int,
    resamplers: np.ndarray,
    losses: np.ndarray,
) -> float:
    """Fit the band, to a fraction, where a low-pass is 3 dB down.

    Args:
        curve: levels in dB, (bands,).
        floor: level in dB of the noise floor.
        depth: levels further below the knee, in dB, do not count.
        first, last: bands that bracket the begin of the fall.
        resamplers: bands where common resamplers are 3 dB down.
        losses: (resamplers, bands), their losses in dB.
    """
    seen = slice(max(0, first - 24), min(last + 48, len(curve)))
    x, y = np.arange(len(curve), dtype=float)[seen], curve[seen]
    # Clipping after the cut leaves a splatter above it, which no line fits: it counts as a floor.
    floor = max(floor, float(curve[last + 20 :].max()))
    # All low-passes at once, (low-passes, bands): every corner with every order, and the resamplers in reach.
    corners = np.arange(first - 4, last + 12, 0.5).repeat(len(KNEE_SLOPES))
    slopes = np.resize(KNEE_SLOPES, len(corners))[:, None]
    loss = 10 * np.log10(1 + 10 ** (np.clip(slopes * (x - corners[:, None]), -100, 300) / 10))
    reach = (resamplers > first - RESAMPLER_REACH) & (resamplers < last + 12)
    corners = np.concatenate([corners, resamplers[reach]])
    loss = np.concatenate([loss, losses[reach, seen]])
    octave = x - corners[:, None]
    near = octave > -40
    fitted = near & (loss < depth - 4) & (y > floor + 4)
    # Half the weight below the corner, where an error of the order would tilt the line.
    weight = fitted * np.where(loss < 3, 1.0, 0.5)
    weight = weight / np.maximum(weight.sum(-1, keepdims=True), 1e-9)
    level = y + loss
    middle, height = ((weight * of).sum(-1, keepdims=True) for of in (octave, level))
    # Drawn to a fall of 7 dB an octave, for a tilt and a filter's order are hard to tell apart.
    spread = (weight * (octave - middle) ** 2).sum(-1, keepdims=True)
    leans = (weight * (octave - middle) * (level - height)).sum(-1, keepdims=True)
    tilt = np.clip((leans - 0.15 * RIDGE) / (spread + RIDGE), -0.5, 0.1)
    line = height + tilt * (octave - middle)
    lowest = np.maximum(height - tilt * middle - depth, floor)
    errors = np.abs(np.maximum(line - loss, lowest) - np.maximum(y, lowest)).mean(-1, where=near)
    errors[fitted.sum(-1) < 12] = math.inf
    best = int(errors.argmin())
    return float(first) if math.isinf(errors[best]) else float(corners[best])
