"""Hold a batch of segments, and name the segments of it that a rank reads."""

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
        """Copy the batch to another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def split(self, sizes: list[int]) -> list["Batch"]:
        """Split the batch into micro-batches of these sizes."""
        return [Batch(*parts) for parts in zip(*(torch.split(t, sizes) for t in self), strict=True)]


class BatchRows(NamedTuple):
    """Select segments of a batch, counted from 0 on.

    Attributes:
        size: of the complete batch.
        own: the selected segments, in ascending order.
    """

    size: int
    own: list[int]

    def read(self, mixed: bool) -> list[int]:
        """List the segments to read: the selected ones and, if mixed, those that may be added to them."""
        if not mixed:
            return self.own
        return sorted({*self.own, *(self.before(row) for row in self.own)})

    def before(self, row: int) -> int:
        """Return the segment that may be added to another one."""
        return (row - 1) % self.size
