"""Keep samples on disk as raw float32, so that any stretch of them is read without decoding."""

import os
from pathlib import Path

import numpy as np

from overtone.core.errors import OvertoneError

BYTES = 4  # of a sample


class RawSignal:
    """Samples in a file without a header, interleaved by channel.

    Args:
        path: the file; it need not exist yet.
        channels: their number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     signal = RawSignal(Path(folder, "a"), 2)
        ...     signal.append(np.arange(6, dtype=np.float32).reshape(2, 3))
        ...     signal.read(-1, 3).tolist()
        [[0.0, 0.0, 1.0], [0.0, 3.0, 4.0]]
    """

    def __init__(self, path: Path, channels: int) -> None:
        self.path, self.channels = path, channels

    @property
    def length(self) -> int:
        """Samples per channel."""
        try:
            return os.path.getsize(self.path) // (BYTES * self.channels)
        except FileNotFoundError:
            return 0

    def append(self, samples: np.ndarray) -> None:
        """Write samples at the end. Shape: (channels, time).

        Raises:
            OvertoneError: the disk is full, or fails.
        """
        try:
            self._write(np.ascontiguousarray(samples.T, "<f4").data)
        except OSError as error:
            raise OvertoneError(f"the work folder cannot be written: {error.strerror}") from None

    def _write(self, content: memoryview) -> None:
        with self.path.open("ab") as file:
            file.write(content)

    def read(self, start: int, count: int) -> np.ndarray:
        """Read a stretch; zeros before the beginning and after the end. Shape: (channels, count)."""
        first, end = max(start, 0), min(start + count, self.length)
        found: np.ndarray = np.zeros((count, self.channels), np.float32)
        if end > first:
            size, offset = (end - first) * self.channels, first * self.channels * BYTES
            stored = np.fromfile(self.path, "<f4", size, offset=offset)
            found[first - start : end - start] = stored.reshape(-1, self.channels)
        return found.T
