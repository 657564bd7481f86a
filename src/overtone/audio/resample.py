"""Convert between sample rates."""

import numpy as np
import soxr


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Convert (channels, time) float32 between rates in Hz; linear phase, flat to 91 % of Nyquist."""
    if from_rate == to_rate:
        return samples
    converted: np.ndarray = soxr.resample(samples.T, from_rate, to_rate, quality="VHQ")
    return np.ascontiguousarray(converted.T)
