"""TODO."""

import numpy as np
import soxr


class Resampler:
    """A stream at another rate, aligned with the input; soxr takes out its own delay."""

    def __init__(self, rate: int, out_rate: int, channels: int) -> None:
        self._stream = (
            None
            if rate == out_rate
            else soxr.ResampleStream(rate, out_rate, channels, dtype="float32", quality="VHQ")
        )

    def __call__(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Take (channels, time) samples; return those that are ready."""
        if self._stream is None:
            return block
        converted: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return converted.T


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """(channels, time) samples, so many of them: a resampler may give one more or less at the end."""
    return np.pad(samples, ((0, 0), (0, max(0, length - samples.shape[1]))))[:, :length]
