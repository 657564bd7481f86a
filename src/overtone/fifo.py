"""A line of samples: blocks go in at one end, stretches of any length come out at the other."""

import numpy as np


class Fifo:
    """Samples that wait, (channels, time) float32.

    Blocks are copied when they come and joined when they are looked at, so that a line that only grows
    costs nothing but the copy.
    """

    def __init__(self, channels: int) -> None:
        self._blocks = [np.zeros((channels, 0), np.float32)]

    @property
    def size(self) -> int:
        """How many samples wait, per channel."""
        return sum(block.shape[1] for block in self._blocks)

    def append(self, block: np.ndarray) -> None:
        """Add (channels, time) samples at the end."""
        self._blocks.append(np.array(block, np.float32))

    def peek(self, count: int) -> np.ndarray:
        """The first samples, (channels, count), or as many as there are; they go on waiting."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks, axis=1)]
        return self._blocks[0][:, :count]

    def take(self, count: int) -> np.ndarray:
        """The first samples, (channels, count), or as many as there are; they wait no longer."""
        first = self.peek(count)
        self._blocks = [self._blocks[0][:, count:]]
        return first
