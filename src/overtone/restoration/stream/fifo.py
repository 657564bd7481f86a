"""Queue samples: blocks of any length in, any number of samples out."""

from collections import deque

import numpy as np


class Fifo:
    """Queues (channels, time) float32 samples.

    Blocks are kept as they come, without a copy; they are joined only as far as they are read.

    Args:
        channels: their number.
    """

    def __init__(self, channels: int) -> None:
        self._blocks = deque([np.zeros((channels, 0), np.float32)])
        self._size = 0

    @property
    def size(self) -> int:
        """The number of samples in the queue, per channel."""
        return self._size

    def append(self, block: np.ndarray) -> None:
        """Add (channels, time) samples at the end; nobody may change them from then on."""
        self._blocks.append(block)
        self._size += block.shape[1]

    def peek(self, count: int) -> np.ndarray:
        """Return the first samples, (channels, count), or as many as there are, and keep them."""
        joined = [self._blocks.popleft()]
        length = joined[0].shape[1]
        while length < count and self._blocks:
            joined.append(self._blocks.popleft())
            length += joined[-1].shape[1]
        first = joined[0] if len(joined) == 1 else np.concatenate(joined, axis=1)
        self._blocks.appendleft(first)
        return first[:, :count]

    def take(self, count: int) -> np.ndarray:
        """Remove and return the first samples, (channels, count), or as many as there are."""
        first = self.peek(count)
        self._blocks[0] = self._blocks[0][:, count:]
        self._size -= first.shape[1]
        return first
