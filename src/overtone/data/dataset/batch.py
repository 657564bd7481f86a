"""TODO."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Segments of a batch: degraded and original (batch, time); cutoff and bandwidth (batch,) in Hz."""

    degraded: Tensor
    original: Tensor
    cutoff: Tensor
    bandwidth: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def split(self, sizes: list[int]) -> list["Batch"]:
        """The same in micro-batches of these sizes."""
        return [Batch(*parts) for parts in zip(*(torch.split(t, sizes) for t in self), strict=True)]


class BatchRows(NamedTuple):
    """Which segments of a batch, counted from 0 on, are wanted.

    Attributes:
        size: of the whole batch.
        own: those wanted, in ascending order.
    """

    size: int
    own: list[int]

    def read(self, mixed: bool) -> list[int]:
        """List the segments to read: these, and where segments are mixed, those that may be added to them."""
        if not mixed:
            return self.own
        return sorted({*self.own, *(self.before(row) for row in self.own)})

    def before(self, row: int) -> int:
        """The segment that may be added to another one."""
        return (row - 1) % self.size
