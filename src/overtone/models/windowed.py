"""Running a network over a signal of any length in windows, for networks that have no stream of their own.

The signal is cut into windows that carry enough context on both sides for every kept sample to come
out as it would from one run over the whole::

    |---- window 0 ----|ctx|
                   |ctx|---- window 1 ----|ctx|
"""

from typing import Protocol

import torch
from torch import Tensor

# Samples of one window: 24 s. A short one is mostly context, a long one is late and needs memory.
WINDOW = 1 << 20


class Windowed(Protocol):
    """A network whose output samples depend on ``context`` samples on each side and no more.

    A window must begin at a multiple of ``stride``.
    """

    stride: int

    @property
    def context(self) -> int:
        """In samples."""
        ...

    def __call__(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore (batch, time) whose content ends at (batch,) in Hz."""
        ...


class Windows:
    """One signal restored window by window.

    Args:
        net: in evaluation mode.
        cutoff: in Hz.
        device: the network's.
    """

    def __init__(self, net: Windowed, cutoff: float, device: torch.device) -> None:
        self._net = net
        self._context = -(-net.context // net.stride) * net.stride
        self._cutoff = torch.tensor([cutoff], device=device)
        # What the next window needs, from `_start` on; the window itself begins at `_at`.
        self._held = torch.zeros(1, 0, device=device)
        self._start = self._at = 0

    @property
    def latency(self) -> int:
        """How many samples the output lags behind at most: a window and its context."""
        return WINDOW + self._context

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples, any number of them; give those that are ready, at the last call all."""
        self._held = torch.cat([self._held, samples], dim=-1)
        made = [self._held[:, :0]]
        while True:
            end = self._start + self._held.shape[-1]
            if end <= self._at or (end < self._at + WINDOW + self._context and not last):
                return torch.cat(made, dim=-1)
            own = self._at - self._start
            window = self._held[:, : own + WINDOW + self._context]
            made.append(self._net(window, self._cutoff)[:, own : own + WINDOW])
            self._at += WINDOW
            first = max(self._at - self._context, 0)
            self._held = self._held[:, first - self._start :]
            self._start = first
