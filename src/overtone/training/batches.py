"""Plan an epoch's batches, and read and augment them ahead of the network.

All that is random comes from the seed of the run, the epoch and the step, so a plan can be taken up at any
step.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch

from overtone.data.dataset.batch import Batch
from overtone.data.dataset.on_the_fly import PendingBatch
from overtone.training import distributed
from overtone.training.augment import augment
from overtone.training.settings import TrainSettings

# Epochs and steps have seeds that are so far apart.
SEED_STEP = 1_000_003
# Batches that are read and augmented ahead of the one that the network works on.
AHEAD = 2


class Data(Protocol):
    """Segments that can be read by their index.

    Attributes:
        rate: in Hz.
        side: whether they are the side of stereo.
    """

    rate: int
    side: bool

    def __len__(self) -> int: ...

    def batch(self, indices: list[int], /) -> Batch | PendingBatch:
        """Return the segments of these indices."""
        ...


class PlannedBatch(NamedTuple):
    """A batch that is not read yet.

    Attributes:
        segments: the indices of its segments.
        share: which of them this rank processes, in which micro-batches.
        seed: of all that is drawn for it.
    """

    segments: list[int]
    share: distributed.RankShare
    seed: int


def plan_epoch(count: int, settings: TrainSettings, epoch: int, first_step: int) -> list[PlannedBatch]:
    """Plan an epoch of training from a step on: every segment once, in an order of the epoch's own."""
    seed = settings.seed * SEED_STEP + epoch
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return [
        PlannedBatch(
            order[start : start + settings.batch],
            distributed.share_batch(min(settings.batch, count - start), settings.micro_batch),
            seed * SEED_STEP + step,
        )
        for step, start in enumerate(range(0, count, settings.batch))
        if step >= first_step
    ]


def plan_validation(count: int, settings: TrainSettings) -> list[PlannedBatch]:
    """Plan a validation, in micro-batches: the same segments, order and seeds every time."""
    size = settings.micro_batch
    batches = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    return [PlannedBatch(batch, distributed.share_batch(len(batch), size), batch[0]) for batch in batches]


def prefetch(
    data: Data, plan: list[PlannedBatch], settings: TrainSettings, device: torch.device
) -> Iterator[tuple[PlannedBatch, Batch]]:
    """Yield each planned batch with this rank's share of it, augmented, on the device.

    A thread reads, augments and codes the next batches while the network works on this one: codecs run on the
    CPU, and a GPU would wait for them.
    """
    # Apple's GPU may abort when two threads give it work at once.
    augment_on = torch.device("cpu") if device.type == "mps" else device

    def read(planned: PlannedBatch) -> Batch:
        rows = planned.share.rows
        batch = data.batch([planned.segments[row] for row in rows.read(settings.augment.filters)])
        return augment(batch.to(augment_on), settings.augment, data.rate, planned.seed, rows, data.side)

    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = [reader.submit(read, planned) for planned in plan[:AHEAD]]
        for index, planned in enumerate(plan):
            batch = waiting.pop(0).result()
            if index + AHEAD < len(plan):
                waiting.append(reader.submit(read, plan[index + AHEAD]))
            yield planned, batch.to(device)
