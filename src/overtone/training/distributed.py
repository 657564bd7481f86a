"""Share a batch among the ranks of a training run, and sum losses, statistics and gradients over them.

Ranks are processes that train one network together (`overtone.training.torchrun` starts them). Each processes
its share of every micro-batch, and whatever is a sum over a micro-batch (a loss's sums and counts, batch
norm's mean and variance, the gradients) is summed over the ranks. So a step is the step that one process
would have taken, up to the rounding of sums in another order, for any number of ranks.

All functions are the identity in a process without other ranks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import BatchRows

Value = TypeVar("Value")


def rank_count() -> int:
    """Return the number of ranks; 1 in a process without others."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank_index() -> int:
    """Return the rank of this process, counted from 0."""
    return dist.get_rank() if rank_count() > 1 else 0


@dataclass(frozen=True)
class RankShare:
    """The share of a batch that this rank processes.

    Attributes:
        rows: its segments, in the order of the micro-batches.
        sizes: number of them in every micro-batch.
        shares: weight of every micro-batch's loss on this rank in the mean over ranks.
    """

    rows: BatchRows
    sizes: list[int]
    shares: list[float]


def share_batch(size: int, micro_batch: int) -> RankShare:
    """Divide every micro-batch of a batch among the ranks, as evenly as possible, and return this rank's
    share.

    A batch norm or a loss then sees the same micro-batches, whatever the number of ranks. One that has
    fewer segments than there are ranks, at the end of an epoch, is processed by all ranks: every rank takes
    part in every sum.
    """
    ranks, rank = rank_count(), rank_index()
    rows, sizes, shares = [], [], []
    for start in range(0, size, micro_batch):
        segments = min(micro_batch, size - start)
        if segments >= ranks:
            own = range(rank * segments // ranks, (rank + 1) * segments // ranks)
            share = len(own) * ranks / segments
        else:
            own, share = range(segments), 1.0
        rows += [start + row for row in own]
        sizes.append(len(own))
        shares.append(segments / size * share)
    return RankShare(BatchRows(size, rows), sizes, shares)


class _Sum(torch.autograd.Function):
    """A sum over the ranks: its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _add_up(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


_sum: Callable[[Tensor], Tensor] = _add_up


def leave_sums_uncompiled() -> None:
    """Exclude sums over ranks from `torch.compile`.

    Call it once there are ranks: it loads PyTorch's compiler, which takes a second or more.
    """
    global _sum
    _sum = torch.compiler.disable(_add_up)  # type: ignore[no-untyped-call]


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum values over the ranks: sums over a share become sums over the micro-batch. Gradients pass."""
    return _sum(values) if rank_count() > 1 else values


def norm(values: Tensor) -> Tensor:
    """Compute the Euclidean norm of all elements of all ranks."""
    own = torch.linalg.vector_norm(values)
    # The root's slope at 0 is infinite.
    return (
        sum_over_ranks(own.square()).clamp_min(torch.finfo(own.dtype).tiny).sqrt()
        if rank_count() > 1
        else own
    )


def mean_over_ranks(values: Sequence[float]) -> list[float]:
    """Compute means over the ranks; every rank has the same result."""
    if rank_count() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    result: list[float] = (total / rank_count()).tolist()
    return result


def broadcast(value: Value) -> Value:
    """Return the value of rank 0, on every rank."""
    if rank_count() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def check_agreement(name: str) -> str:
    """Return the name of the run, if every rank has found the same.

    Raises:
        OvertoneError: on every rank, if a rank has other settings, code, data or precision.
    """
    if rank_count() == 1:
        return name
    names: list[str] = [""] * rank_count()
    dist.all_gather_object(names, name)
    other = next((rank for rank, found in enumerate(names) if found != names[0]), None)
    if other is not None:
        raise OvertoneError(
            f"rank {other} of {rank_count()} has another params.yaml, code, data/pairs, data/segments.csv or "
            "precision than rank 0; give all the same files and the same kind of device"
        )
    return name


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch norm with the mean and variance of the micro-batch on all ranks.

    PyTorch's own (`torch.nn.SyncBatchNorm`) runs on CUDA only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (batch, channels, time)."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        x = input.float()
        sums = sum_over_ranks(torch.cat([x.sum((0, 2)), x.new_full((1,), x.shape[0] * x.shape[2])]))
        average, elements = sums[:-1] / sums[-1], sums[-1].detach()
        centred = x - average[:, None]
        variance = sum_over_ranks(centred.square().sum((0, 2))) / elements
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(average, self.momentum)
            self.running_var.lerp_(variance * elements / (elements - 1), self.momentum)
        factor = self.weight * (variance + self.eps).rsqrt()
        return (centred * factor[:, None] + self.bias[:, None]).to(input.dtype)


def sync_batch_norm(net: nn.Module) -> None:
    """Replace the batch norms of a network by ones over all ranks, in place and under the same names."""
    if rank_count() == 1:
        return
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm1d:
                synced = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(parent, name, synced.to(child.weight.device))


def wrap_network(net: nn.Module) -> nn.Module:
    """Wrap a network: gradients become means over the ranks, and all ranks start from rank 0's weights."""
    if rank_count() == 1:
        return net
    # Imported here: it takes 1 s, and one process does not need it.
    from torch.nn.parallel import DistributedDataParallel

    # Buffers are the same on every rank: batch norm is synced, windows are constants.
    return DistributedDataParallel(net, forward_sync_buffers=False)


@contextmanager
def accumulate(nets: Sequence[nn.Module], last: bool) -> Iterator[None]:
    """Sum gradients of micro-batches on every rank, and average them over the ranks with the last one."""
    with ExitStack() as stack:
        for net in nets:
            # Only a wrapped network (`wrap_network`) has it.
            no_sync = getattr(net, "no_sync", None)
            if no_sync is not None and not last:
                stack.enter_context(no_sync())
        yield
