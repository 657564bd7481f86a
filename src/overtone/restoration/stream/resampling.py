"""Resample a stream, aligned with its input (soxr takes out its own delay)."""

import numpy as np
import soxr

from overtone.restoration.stream.limits import check_rate, default_rate


class Resampler:
    """Resamples a stream to another rate; its length may be off by a sample at the end (`fit_length`).

    Args:
        rate, out_rate: in Hz.
        channels: their number.
    """

    def __init__(self, rate: int, out_rate: int, channels: int) -> None:
        self._stream = (
            None
            if rate == out_rate
            else soxr.ResampleStream(rate, out_rate, channels, dtype="float32", quality="VHQ")
        )

    def __call__(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Take the next (channels, time) samples and return those of the output that are ready."""
        if self._stream is None:
            return block
        converted: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return converted.T


class Unchanged:
    """Resamples the stream of an input that needs no restoring, to its exact length; see `Restorer`.

    Args:
        rate, channels, out_rate: as for `overtone.restoration.stream.restorer.Restorer`.
    """

    def __init__(self, rate: int, channels: int, out_rate: int | None = None) -> None:
        self.rate = check_rate(rate)
        self.out_rate = default_rate(rate) if out_rate is None else check_rate(out_rate)
        self._channels = channels
        self._resampler = Resampler(rate, self.out_rate, channels)
        self._samples_in = self._samples_out = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next (channels, time) float32 samples and return the output that is ready."""
        out = self._resampler(block, False)
        self._samples_in += block.shape[1]
        self._samples_out += out.shape[1]
        return out

    def flush(self) -> np.ndarray:
        """End the stream and return the rest: round(samples in * out_rate / rate) samples in all."""
        due = round(self._samples_in * self.out_rate / self.rate) - self._samples_out
        return fit_length(self._resampler(np.zeros((self._channels, 0), np.float32), True), due)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or pad (channels, time) samples with zeros to a length."""
    return np.pad(samples, ((0, 0), (0, max(0, length - samples.shape[1]))))[:, :length]
