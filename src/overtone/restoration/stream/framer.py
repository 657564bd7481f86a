"""Cut a stream of samples into frames, whatever the blocks that it comes in."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Framer:
    """Cuts a stream into frames of one size, a hop apart; its frames do not depend on its blocks.

    ::

        | padding |----------- samples -----------| rest of a hop | padding |
        |----- frame 0 ----|
                  |----- frame 1 ----|
            hop             |----- frame 2 ----|

    With a padding of half a frame, frame n is centred on sample n * hop, and the last centre is at or behind
    the end. Without padding and with a hop of a frame, it cuts the stream into blocks of equal size.

    Args:
        size: of a frame, in samples.
        hop: from one frame to the next, in samples; at most the size.
        padding: zeros before the first sample and after the last whole hop.

    Attributes:
        samples: so far, per channel.

    Example:
        >>> framer = Framer(4, 2)
        >>> framer(np.arange(5)[None])
        array([[[0, 1, 2, 3]]])
        >>> framer(np.arange(5, 8)[None])
        array([[[2, 3, 4, 5],
                [4, 5, 6, 7]]])
    """

    def __init__(self, size: int, hop: int, padding: int = 0) -> None:
        self._size, self._hop, self._padding = size, hop, padding
        self._rest: np.ndarray | None = None
        self.samples = 0

    @property
    def rest(self) -> np.ndarray:
        """The samples after the start of the next frame, (channels, time): fewer than a frame."""
        return np.zeros((0, 0), np.float32) if self._rest is None else self._rest

    def __call__(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples and return the frames that are complete.

        Args:
            samples: (channels, time), any number of them.
            last: whether they end the stream; it is then padded with zeros to its last frame.

        Returns:
            (channels, frames, size), a view of the samples where there is no need to copy them.
        """
        self.samples += samples.shape[1]
        before = _zeros(samples, self._padding) if self._rest is None else self._rest
        waiting = [before, samples] if before.shape[1] else [samples]
        if last:
            waiting.append(_zeros(samples, -self.samples % self._hop + self._padding))
        joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
        count = max(0, (joined.shape[1] - self._size) // self._hop + 1)
        # A copy: the samples may be a block that the caller changes later, or one far longer than a frame.
        self._rest = joined[:, count * self._hop :].copy()
        if not count:
            return np.zeros((len(joined), 0, self._size), joined.dtype)
        frames: np.ndarray = sliding_window_view(joined, self._size, axis=1)[:, :: self._hop]
        return frames


def _zeros(samples: np.ndarray, count: int) -> np.ndarray:
    return np.zeros((len(samples), count), samples.dtype)
