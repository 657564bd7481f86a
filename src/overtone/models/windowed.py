"""Run a network over a signal of any length in windows, for networks that have no stream of their own.

The windows overlap by enough context on both sides for every kept sample to be the same as in one run over
the whole signal::

    |---- window 0 ----|ctx|
                   |ctx|---- window 1 ----|ctx|
"""

from typing import Protocol

import torch
from torch import Tensor

# Samples of one window: 24 s. A short one is mostly context, a long one adds latency and needs memory.
WINDOW = 1 << 20


class Windowed(Protocol):
    """A network whose output samples depend on ``context`` samples on each side and no more.

    A window must begin at a multiple of ``stride``.
    """

    stride: int

    @property
    def context(self) -> int:
        """The context on each side, in samples."""
        ...

    def __call__(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore (batch, time) whose spectra end at (batch,) in Hz."""
        ...


class Windows:
    """Runs a network over one stream, window by window.

    Args:
        net: in evaluation mode.
        cutoff: in Hz.
        device: the network's.
    """

    def __init__(self, net: Windowed, cutoff: float, device: torch.device) -> None:
        self._net = net
        self._context = -(-net.context // net.stride) * net.stride
        self._cutoff = torch.tensor([cutoff], device=device)
        # The samples of the next window and its context, from `_start` on; the window begins at `_window`.
        self._samples = torch.zeros(1, 0, device=device)
        self._start = self._window = 0

    @property
    def latency(self) -> int:
        """The number of samples that the output lags behind at most: a window and its context."""
        return WINDOW + self._context

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take the next (1, time) samples and return the output that is ready, at the last call all."""
        self._samples = torch.cat([self._samples, samples], dim=-1)
        output = [self._samples[:, :0]]
        while True:
            end = self._start + self._samples.shape[-1]
            if end <= self._window or (end < self._window + WINDOW + self._context and not last):
                return torch.cat(output, dim=-1)
            first = self._window - self._start
            window = self._samples[:, : first + WINDOW + self._context]
            output.append(self._net(window, self._cutoff)[:, first : first + WINDOW])
            self._window += WINDOW
            start = max(self._window - self._context, 0)
            self._samples = self._samples[:, start - self._start :]
            self._start = start
