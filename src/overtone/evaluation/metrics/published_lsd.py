"""The log-spectral distance as publications define it, for tables beside their figures.

Each is the mean over frames of the root of the mean over bins of a squared difference of log10 powers, in
bels. Window, rate, floor and range differ, and so do the values: `docs/metrics.md` compares them.
"""

import numpy as np

from overtone.audio import resample, stft
from overtone.core.arrays import Array
from overtone.evaluation.metrics.high_band import power

UNIVERSR_RATE, UNIVERSR_SIZES, UNIVERSR_FLOOR = 48000, (1024, 256), 1e-6
SSR_EVAL_FFT, SSR_EVAL_FLOOR = 2048, 1e-12


def universr(reference: Array, estimate: Array, rate: int, cutoff: float) -> float:
    """Compute UniverSR's: 48 kHz, 1024 points, hop 256, power no lower than 1e-6, from cutoff to Nyquist.

    Shape:
        (channels, time) twice, alike; further channels count as further frames.
    """
    pair = (resample.resample(np.asarray(samples), rate, UNIVERSR_RATE) for samples in (reference, estimate))
    bins = stft.bins_between(cutoff, None, UNIVERSR_RATE, UNIVERSR_SIZES[0])
    true, estimated = (
        np.log10(np.maximum(power(stft.stft(samples, *UNIVERSR_SIZES))[..., bins, :], UNIVERSR_FLOOR))
        for samples in pair
    )
    return _distance(true - estimated)


def ssr_eval(reference: Array, estimate: Array, rate: int) -> float:
    """Compute that of the package ssr_eval (NVSR, AudioSR): 2048 points, hop rate / 100, all bins, no floor.

    Shape:
        (channels, time) twice, alike; further channels count as further frames.
    """
    true, estimated = (
        np.sqrt(power(stft.stft(np.asarray(samples), SSR_EVAL_FFT, rate // 100)))
        for samples in (reference, estimate)
    )
    ratio = true.astype(np.float64) ** 2 / (estimated.astype(np.float64) + SSR_EVAL_FLOOR) ** 2
    return _distance(np.log10(ratio + SSR_EVAL_FLOOR))


def _distance(difference: np.ndarray) -> float:
    return float(np.sqrt(np.square(difference).mean(axis=-2)).mean())
