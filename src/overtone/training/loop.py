"""The epoch loop; it knows nothing of files.

Batches are drawn from a generator seeded by run and epoch, and the state that it hands out holds all
that the next step depends on, so a run that goes on from any state gives the same losses to the
last digit as one that was never stopped.

With a discriminator (``train.adversarial``) the training and validation loss stay those of ``train.loss``,
by which the smooth treble that adversarial training is there to leave is best. So they choose nothing then:
all epochs are run and the last weights are kept, which the cosine schedule has brought to rest.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from overtone.core.errors import OvertoneError
from overtone.core.params import check
from overtone.data.dataset.batch import Batch
from overtone.data.dataset.on_the_fly import PendingBatch
from overtone.models.device import compile_where_asked, fast_in_bfloat16
from overtone.training import distributed
from overtone.training.augment import augment
from overtone.training.discriminators import Adversary
from overtone.training.losses import TREBLE_RATE, BandLoss, weighted
from overtone.training.settings import TrainSettings

# A state is kept at least this often, also within an epoch. Writing the full-width U-Net's (73 MB
# with the optimiser's moments and the best weights) takes about a second.
KEEP_SECONDS = 60.0


class Data(Protocol):
    """Segments that can be read by their place.

    Attributes:
        rate: in Hz.
        side: whether they are the side of stereo.
    """

    rate: int
    side: bool

    def __len__(self) -> int: ...

    def batch(self, places: list[int]) -> Batch | PendingBatch:
        """The segments at these places."""
        ...


@runtime_checkable
class OwnLoss(Protocol):
    """A network that is trained on something other than its output, as a diffusion model is on noise."""

    def training_loss(
        self, degraded: torch.Tensor, original: torch.Tensor, cutoff: torch.Tensor, seeds: list[int]
    ) -> torch.Tensor:
        """The mean loss of (batch, time) segments, a scalar; what is random in each comes from its seed."""
        ...


def choose_precision(asked: str, device: torch.device) -> str:
    """Resolve ``auto``: bfloat16 where the device is fast in it, else float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if fast_in_bfloat16(device) else "float32"


def fit(
    net: nn.Module,
    training: Data,
    validation: Data,
    settings: TrainSettings,
    device: torch.device,
    precision: str,
    state: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda state: None,
    report: Callable[[list[dict[str, float]], float], None] = lambda history, seconds_left: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a network and leave the best weights in it, or with a discriminator the last.

    Where ranks have joined (`overtone.training.distributed`), each calls this with the same arguments but for
    ``keep``, ``report`` and ``say``, and has the same result.

    Args:
        net: maps (batch, time) and the cutoff (batch,) to (batch, time).
        training, validation: the segments.
        settings: the group ``train``.
        device: where to run.
        precision: ``float32`` or ``bfloat16``.
        state: a state that ``keep`` was given, to go on from.
        keep: is given a state after every epoch and at least once a minute.
        report: is given the history (a row per epoch: epoch, train_loss, validation_loss, lr, and once
            the discriminator is on its own loss, adversarial_loss and feature_matching_loss, both
            before their weights) and the seconds that the epochs left may take.
        say: is given a line on how far a long epoch has come, whenever a state is kept within one.

    Returns:
        The last state; ``history`` is in it, and ``best_epoch`` and ``best_loss`` of the weights kept.

    Raises:
        OvertoneError: the loss became NaN or infinite; the last state kept is a good one. Or the segments
            have another rate than 44,100 Hz, or there are more ranks than a micro-batch has segments, or a
            discriminator is asked for, and the network has a loss of its own.
    """
    allowed = f"{TREBLE_RATE} to train with, as losses and restoring are made for that"
    check(training.rate == TREBLE_RATE, "degrade.rate", training.rate, allowed)
    check(
        settings.micro_batch >= distributed.rank_count(),
        "train.micro_batch",
        settings.micro_batch,
        f"a number of segments for all ranks together, {distributed.rank_count()} or more with so many",
    )
    if isinstance(net, OwnLoss):
        allowed = "0 for a network with a loss of its own, which leaves no output to judge"
        check(
            not settings.adversarial.weight, "train.adversarial.weight", settings.adversarial.weight, allowed
        )
    net.to(device)
    distributed.sync_batch_norm(net)
    _freeze(net, settings.freeze)
    optimiser = torch.optim.Adam(_trained(net), lr=settings.lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    loss = weighted(settings.loss)
    adversary = None
    if settings.adversarial.weight:
        adversary = Adversary(settings.adversarial, settings.seed, training.rate, device)
    if state is None:
        state = {
            "epoch": 1,
            "step": 0,
            "sums": {},
            "history": [],
            "best_loss": math.inf,
            "best_epoch": 0,
            "best": {},
            "stale": 0,
        }
    else:
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"])
        if adversary is not None:
            adversary.load_state_dict(state["adversary"])
    compile_where_asked(net)
    runner = distributed.wrap_network(_WithLoss(net, loss, precision))

    def whole_state() -> dict[str, Any]:
        """All that the next step depends on, in plain values and tensors."""
        whole = state | {
            "net": net.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": torch.get_rng_state(),
        }
        return whole if adversary is None else whole | {"adversary": adversary.state_dict()}

    kept = began = time.monotonic()
    # The last batch may be smaller.
    first = state["epoch"] + min(1.0, state["step"] * settings.batch / len(training))
    while state["epoch"] <= settings.epochs and state["stale"] <= settings.stop_patience:
        epoch = state["epoch"]
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
        order = torch.randperm(len(training), generator=generator).tolist()
        done = state["step"] * settings.batch
        todo = [order[at : at + settings.batch] for at in range(done, len(order), settings.batch)]
        parts = [distributed.share_batch(len(places), settings.micro_batch) for places in todo]
        net.train()
        base, at = (settings.seed * 1_000_003 + epoch) * 1_000_003, state["step"]
        seeds = list(range(base + at, base + at + len(todo)))
        damaged = _ahead(training, todo, parts, seeds, settings, device)
        for batch, places, part, seed in zip(damaged, todo, parts, seeds, strict=True):
            if settings.schedule == "cosine":
                done = (epoch - 1 + state["step"] * settings.batch / len(order)) / settings.epochs
                optimiser.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * done)) / 2
            judge = adversary if epoch >= settings.adversarial.start else None
            losses = _step(runner, optimiser, batch, part, precision, judge, seed)
            bad = [value for value in losses.values() if not math.isfinite(value)]
            if bad:
                raise OvertoneError(
                    f"the loss became {bad[0]} in epoch {epoch}, batch {state['step'] + 1} of "
                    f"{math.ceil(len(order) / settings.batch)}; try a lower train.lr than {settings.lr}"
                )
            state["step"] += 1
            sums = {key: state["sums"].get(key, 0.0) + value * len(places) for key, value in losses.items()}
            state["sums"] = sums
            if time.monotonic() - kept > KEEP_SECONDS:
                keep(whole_state())
                kept = time.monotonic()
                done = epoch - 1 + state["step"] * settings.batch / len(order)
                left = _left(kept - began, done + 1 - first, settings.epochs - done)
                mean = sums["train_loss"] / (state["step"] * settings.batch)
                say(
                    f"epoch {epoch}, {state['step'] * settings.batch} of {len(order)} segments: "
                    f"training loss {mean:.5g} so far, {left:.0f} s left at most"
                )
        validation_loss = evaluate(net, loss, validation, settings, device, precision)
        if not math.isfinite(validation_loss):
            raise OvertoneError(
                f"the validation loss became {validation_loss} after epoch {epoch}; "
                f"try a lower train.lr than {settings.lr}"
            )
        means = {key: value / len(order) for key, value in state["sums"].items()}
        row = {
            "epoch": epoch,
            "train_loss": means["train_loss"],
            "validation_loss": validation_loss,
            "lr": optimiser.param_groups[0]["lr"],
        } | means
        state["history"] = [*state["history"], row]
        if settings.schedule == "plateau":
            scheduler.step(validation_loss)
        state["stale"] += 1
        if adversary is not None or validation_loss < state["best_loss"]:
            best = {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}
            state |= {"best_loss": validation_loss, "best_epoch": epoch, "best": best, "stale": 0}
        state |= {"epoch": epoch + 1, "step": 0, "sums": {}}
        keep(whole_state())
        kept = time.monotonic()
        report(state["history"], _left(kept - began, epoch + 1 - first, settings.epochs - epoch))
    net.load_state_dict(state["best"])
    return state


def _left(seconds: float, done: float, rest: float) -> float:
    """The seconds that the rest takes, as so much has taken; 0 where nothing has been done yet."""
    return seconds / done * rest if done > 0 else 0.0


def _freeze(net: nn.Module, ends: tuple[str, ...]) -> None:
    """Keep the weights whose names end so from being trained."""
    names = [name for name, _ in net.named_parameters()]
    for end in ends:
        known = any(name.endswith(end) for name in names)
        check(known, "train.freeze", end, f"the end of a weight's name, such as {names[-1]}")
    for name, weight in net.named_parameters():
        weight.requires_grad_(not name.endswith(ends))
    check(bool(_trained(net)), "train.freeze", list(ends), "some weights, not all")


def _trained(net: nn.Module) -> list[nn.Parameter]:
    """The weights that are not frozen."""
    return [weight for weight in net.parameters() if weight.requires_grad]


def _ahead(
    data: Data,
    todo: list[list[int]],
    parts: list[distributed.RankShare],
    seeds: list[int],
    settings: TrainSettings,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield parts of batches on the device, damaged by their seeds.

    A thread reads, varies and codes the next ones while the network works on this one: codecs run on the CPU,
    and a GPU would wait for them.
    """
    # What is given to Apple's GPU from two threads at once may break it off.
    here = torch.device("cpu") if device.type == "mps" else device

    def read(at: int) -> Batch:
        rows = parts[at].rows
        batch = data.batch([todo[at][row] for row in rows.read(settings.augment.filters)])
        return augment(batch.to(here), settings.augment, data.rate, seeds[at], rows, data.side)

    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = [reader.submit(read, at) for at in range(min(2, len(todo)))]
        for at in range(len(todo)):
            batch = waiting.pop(0).result()
            if at + 2 < len(todo):
                waiting.append(reader.submit(read, at + 2))
            yield batch.to(device)


class _WithLoss(nn.Module):
    """A network and its loss as one module: one forward pass from a batch to the loss."""

    def __init__(self, net: nn.Module, loss: BandLoss, precision: str) -> None:
        super().__init__()
        self.net, self.loss, self.precision = net, loss, precision

    def forward(self, batch: Batch, seeds: list[int]) -> tuple[torch.Tensor | None, torch.Tensor]:
        """What the network makes of a batch, if that is what its loss looks at, and the loss.

        Args:
            batch: the segments.
            seeds: of each segment, for a network with a loss of its own.
        """
        device, half = batch.degraded.device.type, self.precision == "bfloat16"
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            if isinstance(self.net, OwnLoss):
                return None, self.net.training_loss(batch.degraded, batch.original, batch.cutoff, seeds)
            estimate = self.net(batch.degraded, batch.cutoff)
        estimate = estimate.float()
        return estimate, self.loss(estimate, batch.original, batch.cutoff, batch.bandwidth)


def _step(
    with_loss: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    part: distributed.RankShare,
    precision: str,
    adversary: Adversary | None,
    seed: int,
) -> dict[str, float]:
    """One step of the optimisers, in micro-batches; none is taken if a loss it returns is not finite."""
    optimiser.zero_grad(set_to_none=True)
    totals: dict[str, float] = {}
    nets = [with_loss] if adversary is None else [with_loss, adversary.runner]
    # Another stream than the damage's, whose seed is the step's own.
    generator = torch.Generator().manual_seed(-1 - seed)
    seeds = torch.randint(1 << 62, (part.rows.size,), generator=generator).tolist()
    own = iter([seeds[row] for row in part.rows.own])
    for number, (piece, share) in enumerate(zip(batch.split(part.sizes), part.shares, strict=True), start=1):
        with distributed.accumulate(nets, last=number == len(part.sizes)):
            estimate, mean = with_loss(piece, list(islice(own, len(piece.original))))
            value: torch.Tensor = mean * share
            losses = {"train_loss": value.item()}
            if adversary is not None:
                terms = adversary.terms(estimate, piece, seed, precision)
                losses |= {f"{name}_loss": term.item() * share for name, term in terms._asdict().items()}
            # Every rank has the same totals, so all of them stop or none.
            for name, over_ranks in zip(
                losses, distributed.mean_over_ranks(list(losses.values())), strict=True
            ):
                totals[name] = totals.get(name, 0.0) + over_ranks
            if not all(math.isfinite(total) for total in totals.values()):
                return totals
            if adversary is not None:
                value = value + adversary.learn(terms, share)
            value.backward(inputs=_trained(with_loss))  # type: ignore[no-untyped-call]
    optimiser.step()
    if adversary is not None:
        adversary.step(optimiser.param_groups[0]["lr"] / optimiser.defaults["lr"])
    return totals


@torch.no_grad()
def evaluate(
    net: nn.Module,
    loss: BandLoss,
    data: Data,
    settings: TrainSettings,
    device: torch.device,
    precision: str,
) -> float:
    """Mean loss over all segments, the network in evaluation mode and the damage always the same."""
    net.eval()
    with_loss = _WithLoss(net, loss, precision)
    size = settings.micro_batch
    todo = [list(range(at, min(at + size, len(data)))) for at in range(0, len(data), size)]
    parts = [distributed.share_batch(len(places), size) for places in todo]
    total = 0.0
    seeds = [places[0] for places in todo]
    for batch, places, part in zip(
        _ahead(data, todo, parts, seeds, settings, device), todo, parts, strict=True
    ):
        value = with_loss(batch, [places[row] for row in part.rows.own])[1].item()
        total += value * part.shares[0] * len(places)
    return distributed.mean_over_ranks([total])[0] / len(data)
