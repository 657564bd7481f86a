"""Loudness as ITU-R BS.1770-4 measures it: K-weighted power of gated blocks, in LUFS."""

import math

import numpy as np
from scipy import signal

BLOCK, STEP = 0.4, 0.1  # seconds
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS; LU below what passes the absolute gate


def integrated(samples: np.ndarray, rate: int) -> float:
    """The loudness of (channels, time) samples in LUFS; minus infinity where all is below the gate.

    Every channel has weight 1, as left, right and centre have in BS.1770. A sound shorter than a block
    is one block.
    """
    weighted = signal.sosfilt(_k_weighting(rate), samples.astype(np.float64), axis=1)
    block, step = round(BLOCK * rate), round(STEP * rate)
    total = np.concatenate([[0.0], np.cumsum((weighted**2).sum(axis=0))])
    starts = np.arange(0, max(samples.shape[1] - block, 0) + 1, step)
    ends = np.minimum(starts + block, samples.shape[1])
    power = (total[ends] - total[starts]) / (ends - starts)
    loud = power[_lufs(power) > ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE]
    return float(_lufs(loud.mean()))


def _lufs(power: np.ndarray) -> np.ndarray:
    level: np.ndarray = -0.691 + 10 * np.log10(np.maximum(power, 1e-30))
    return level


def _k_weighting(rate: int) -> np.ndarray:
    """BS.1770's two filters at any rate, as second-order sections.

    The standard gives coefficients at 48 kHz alone. These are the bilinear transforms of the analogue
    filters behind them, by the parameters that B. De Man found ("Evaluation of Implementations of the EBU
    R128 Loudness Measurement", AES 145, 2018).
    """
    tan = math.tan(math.pi * 1681.974450955533 / rate)
    quality = 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    norm = 1 + tan / quality + tan**2
    shelf = [
        (high + band * tan / quality + tan**2) / norm,
        2 * (tan**2 - high) / norm,
        (high - band * tan / quality + tan**2) / norm,
        1.0,
        2 * (tan**2 - 1) / norm,
        (1 - tan / quality + tan**2) / norm,
    ]
    tan = math.tan(math.pi * 38.13547087602444 / rate)
    quality = 0.5003270373238773
    norm = 1 + tan / quality + tan**2
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (tan**2 - 1) / norm, (1 - tan / quality + tan**2) / norm]
    return np.array([shelf, high_pass])
