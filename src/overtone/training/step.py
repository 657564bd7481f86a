"""Take one step of the optimisers: forward and backward pass of a batch, in micro-batches."""

import math
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from overtone.core.params import check
from overtone.data.dataset.batch import Batch
from overtone.models.network import OwnLoss
from overtone.training import distributed
from overtone.training.batches import PlannedBatch
from overtone.training.discriminators import Adversary
from overtone.training.losses import BandLoss

# Training loss, and with a discriminator its own, the adversarial and the feature-matching loss.
Losses = dict[str, float]


class NetworkWithLoss(nn.Module):
    """A network and its loss as one module: a single forward pass from a batch to the loss.

    So `torch.nn.parallel.DistributedDataParallel` sees all that has gradients.
    """

    def __init__(self, net: nn.Module, loss: BandLoss, precision: str) -> None:
        super().__init__()
        self.net, self.loss, self.precision = net, loss, precision

    def forward(self, batch: Batch, seeds: list[int]) -> tuple[Tensor | None, Tensor]:
        """Compute the estimate and the mean loss of a batch.

        Args:
            batch: the segments.
            seeds: one for each segment, for a network with a loss of its own.

        Returns:
            (estimate, loss): the estimate (batch, time), None of a network with a loss of its own.
        """
        device, half = batch.degraded.device.type, self.precision == "bfloat16"
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            if isinstance(self.net, OwnLoss):
                return None, self.net.training_loss(batch.degraded, batch.original, batch.cutoff, seeds)
            estimate = self.net(batch.degraded, batch.cutoff)
        estimate = estimate.float()
        return estimate, self.loss(estimate, batch.original, batch.cutoff, batch.bandwidth)


class Optimisation(NamedTuple):
    """Hold what a training step changes: network, optimiser, discriminators.

    Attributes:
        network: the network with its loss, perhaps wrapped for ranks.
        optimiser: of its trained weights.
        adversary: the discriminator, once it is on.
        precision: ``float32`` or ``bfloat16``.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    adversary: Adversary | None
    precision: str


def trained_weights(net: nn.Module) -> list[nn.Parameter]:
    """List the weights that are not frozen."""
    return [weight for weight in net.parameters() if weight.requires_grad]


def freeze(net: nn.Module, endings: tuple[str, ...]) -> None:
    """Exclude the weights whose names end so from training.

    Raises:
        OvertoneError: no weight's name ends so, or all do.
    """
    names = [name for name, _ in net.named_parameters()]
    for ending in endings:
        known = any(name.endswith(ending) for name in names)
        check(known, "train.freeze", ending, f"the end of a weight's name, such as {names[-1]}")
    for name, weight in net.named_parameters():
        weight.requires_grad_(not name.endswith(endings))
    check(bool(trained_weights(net)), "train.freeze", list(endings), "some weights, not all")


def take_step(work: Optimisation, planned: PlannedBatch, batch: Batch) -> Losses:
    """Take one step; none is taken if a loss that it returns is not finite.

    Args:
        work: network, optimiser and discriminator.
        planned: the plan of the batch.
        batch: this rank's share of it.

    Returns:
        The batch's losses by name, means over all ranks.
    """
    work.optimiser.zero_grad(set_to_none=True)
    adversary, share = work.adversary, planned.share
    nets = [work.network] if adversary is None else [work.network, adversary.runner]
    seeds = iter(_segment_seeds(planned))
    totals: Losses = {}
    for index, (micro_batch, weight) in enumerate(zip(batch.split(share.sizes), share.shares, strict=True)):
        with distributed.accumulate(nets, last=index == len(share.sizes) - 1):
            estimate, mean = work.network(micro_batch, list(islice(seeds, len(micro_batch.original))))
            loss: Tensor = mean * weight
            losses = {"train_loss": loss.item()}
            if adversary is not None:
                terms = adversary.terms(estimate, micro_batch, planned.seed, work.precision)
                losses |= {f"{name}_loss": term.item() * weight for name, term in terms._asdict().items()}
            # Every rank has the same totals, so all of them stop or none.
            means = distributed.mean_over_ranks(list(losses.values()))
            for name, value in zip(losses, means, strict=True):
                totals[name] = totals.get(name, 0.0) + value
            if not all(math.isfinite(total) for total in totals.values()):
                return totals
            if adversary is not None:
                loss = loss + adversary.learn(terms, weight)
            loss.backward(inputs=trained_weights(work.network))  # type: ignore[no-untyped-call]
    work.optimiser.step()
    if adversary is not None:
        adversary.step(work.optimiser.param_groups[0]["lr"] / work.optimiser.defaults["lr"])
    return totals


def _segment_seeds(planned: PlannedBatch) -> list[int]:
    """Draw a seed for each of this rank's segments, in the order of its micro-batches."""
    # The augmentation draws from the step's own seed: this is another stream.
    generator = torch.Generator().manual_seed(-1 - planned.seed)
    seeds = torch.randint(1 << 62, (planned.share.rows.size,), generator=generator).tolist()
    return [seeds[row] for row in planned.share.rows.own]
