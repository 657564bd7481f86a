"""Train a network: the loop over epochs, its state and its schedules. No files are read or written here.

Batches are drawn from seeds of run, epoch and step, and the state holds all that the next step depends on. So
a run that continues from any state has the same losses, to the last digit, as one that was never stopped.

With a discriminator (``train.adversarial``) the training and validation loss remain those of ``train.loss``.
They are lowest for the smooth high band that adversarial training is there to leave, so they select nothing
then: all epochs are run, and the last weights are kept, for which the cosine schedule has brought the
learning rate to 0.
"""

import math
import time

import torch
from torch import nn

from overtone.core.errors import OvertoneError
from overtone.core.params import check
from overtone.core.rates import MODEL_RATE
from overtone.models.device import compile_where_asked
from overtone.training import distributed
from overtone.training.batches import Data, plan_epoch, plan_validation, prefetch
from overtone.training.discriminators import Adversary
from overtone.training.losses import weighted
from overtone.training.settings import TrainSettings
from overtone.training.state import Observer, Progress, TrainState
from overtone.training.step import (
    Losses,
    NetworkWithLoss,
    Optimisation,
    freeze,
    take_step,
    trained_weights,
)

# A state is kept at least this often, also within an epoch. Writing that of the full-width U-Net (73 MB with
# the optimiser's moments and the best weights) takes about a second.
KEEP_SECONDS = 60.0


class Trainer:
    """Trains a network, alone or together with other ranks (`overtone.training.distributed`).

    Every rank makes a trainer with the same arguments, except for the observer.

    Args:
        net: maps (batch, time) and the cutoff (batch,) to (batch, time), or is an
            `overtone.models.network.OwnLoss`. It is moved to the device.
        settings: the group ``train``.
        device: where to run.
        precision: ``float32`` or ``bfloat16``.
        observer: what to call on the way.

    Raises:
        OvertoneError: there are more ranks than a micro-batch has segments, or ``train.freeze`` does not fit.
    """

    def __init__(
        self,
        net: nn.Module,
        settings: TrainSettings,
        device: torch.device,
        precision: str,
        observer: Observer | None = None,
    ) -> None:
        ranks, micro_batch = distributed.rank_count(), settings.micro_batch
        allowed = f"a number of segments for all ranks together, {ranks} or more with so many"
        check(micro_batch >= ranks, "train.micro_batch", micro_batch, allowed)
        self.net, self.settings, self.device, self.precision = net.to(device), settings, device, precision
        self.observer = observer or Observer()
        self.progress = Progress()
        distributed.sync_batch_norm(net)
        freeze(net, settings.freeze)
        self.optimiser = torch.optim.Adam(trained_weights(net), lr=settings.lr)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, factor=settings.plateau_factor, patience=settings.plateau_patience
        )
        self.adversary = None
        if settings.adversarial.weight:
            self.adversary = Adversary(settings.adversarial, settings.seed, MODEL_RATE, device)
        self.loss = weighted(settings.loss)
        compile_where_asked(net)
        self._network = distributed.wrap_network(NetworkWithLoss(net, self.loss, precision))
        self._timer = _Timer(0.0)

    def state_dict(self) -> TrainState:
        """Return all that the next step depends on; its tensors are those in use."""
        state: TrainState = {
            "progress": vars(self.progress).copy(),
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": torch.get_rng_state(),
        }
        if self.adversary is not None:
            state["adversary"] = self.adversary.state_dict()
        return state

    def load_state_dict(self, state: TrainState) -> None:
        """Continue from a state of another trainer with the same settings."""
        self.progress = Progress(**state["progress"])
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"])
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])

    def fit(self, training: Data, validation: Data) -> Progress:
        """Train all epochs that remain, and leave the best weights in the network.

        Raises:
            OvertoneError: a loss became NaN or infinite; the last state kept is a good one.
        """
        progress, settings = self.progress, self.settings
        self._timer = _Timer(self._epochs_done(training))
        while progress.epoch <= settings.epochs and progress.stale <= settings.stop_patience:
            means = self.train_epoch(training)
            self._finish_epoch(means, self.validate(validation))
            self._keep()
            left = self._timer.seconds_left(progress.epoch - 1, settings.epochs)
            self.observer.report(progress.history, left)
        self.net.load_state_dict(progress.best)
        return progress

    def train_epoch(self, data: Data) -> Losses:
        """Take the steps that remain of the epoch; returns the means of its losses over the segments.

        Raises:
            OvertoneError: a loss became NaN or infinite.
        """
        progress, settings, steps = self.progress, self.settings, math.ceil(len(data) / self.settings.batch)
        adversary = self.adversary if progress.epoch >= settings.adversarial.start else None
        work = Optimisation(self._network, self.optimiser, adversary, self.precision)
        self.net.train()
        plan = plan_epoch(len(data), settings, progress.epoch, progress.step)
        for planned, batch in prefetch(data, plan, settings, self.device):
            if settings.schedule == "cosine":
                done = self._epochs_done(data) / settings.epochs
                self.optimiser.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * done)) / 2
            losses = take_step(work, planned, batch)
            for value in losses.values():
                self._check_finite(
                    "loss", value, f"in epoch {progress.epoch}, batch {progress.step + 1} of {steps}"
                )
            progress.step += 1
            progress.sums = {
                name: progress.sums.get(name, 0.0) + value * len(planned.segments)
                for name, value in losses.items()
            }
            if time.monotonic() - self._timer.kept > KEEP_SECONDS:
                self._keep()
                self._say_progress(data)
        return {name: value / len(data) for name, value in progress.sums.items()}

    @torch.no_grad()
    def validate(self, data: Data) -> float:
        """Return the mean loss over all segments, in evaluation mode; augmentation is the same every time."""
        self.net.eval()
        # Not wrapped for ranks: there are no gradients to bring together.
        network = NetworkWithLoss(self.net, self.loss, self.precision)
        plan, total = plan_validation(len(data), self.settings), 0.0
        for planned, batch in prefetch(data, plan, self.settings, self.device):
            share = planned.share
            _, mean = network(batch, [planned.segments[row] for row in share.rows.own])
            total += mean.item() * share.shares[0] * len(planned.segments)
        return distributed.mean_over_ranks([total])[0] / len(data)

    def _finish_epoch(self, means: Losses, validation_loss: float) -> None:
        """Add the epoch to the history, lower the learning rate if it stalls, and keep the best weights."""
        progress = self.progress
        self._check_finite("validation loss", validation_loss, f"after epoch {progress.epoch}")
        row = {
            "epoch": progress.epoch,
            "train_loss": means["train_loss"],
            "validation_loss": validation_loss,
            "lr": self.optimiser.param_groups[0]["lr"],
        }
        progress.history = [*progress.history, row | means]
        if self.settings.schedule == "plateau":
            self.scheduler.step(validation_loss)
        progress.stale += 1
        if self.adversary is not None or validation_loss < progress.best_loss:
            progress.best_loss, progress.best_epoch, progress.stale = validation_loss, progress.epoch, 0
            weights = self.net.state_dict()
            progress.best = {name: value.detach().cpu().clone() for name, value in weights.items()}
        progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}

    def _check_finite(self, name: str, value: float, where: str) -> None:
        if not math.isfinite(value):
            raise OvertoneError(
                f"the {name} became {value} {where}; try a lower train.lr than {self.settings.lr}"
            )

    def _epochs_done(self, data: Data) -> float:
        """Return how many epochs are done; the last batch of an epoch may be smaller than the others."""
        progress = self.progress
        return progress.epoch - 1 + min(1.0, progress.step * self.settings.batch / len(data))

    def _keep(self) -> None:
        self.observer.keep(self.state_dict())
        self._timer.kept = time.monotonic()

    def _say_progress(self, data: Data) -> None:
        """Say how far the epoch has come."""
        progress, done = self.progress, self._epochs_done(data)
        segments = min(progress.step * self.settings.batch, len(data))
        left = self._timer.seconds_left(done, self.settings.epochs)
        self.observer.say(
            f"epoch {progress.epoch}, {segments} of {len(data)} segments: training loss "
            f"{progress.sums['train_loss'] / segments:.5g} so far, {left:.0f} s left at most"
        )


class _Timer:
    """Estimates the seconds that the remaining epochs take from those that the epochs so far took.

    Attributes:
        kept: when the last state was kept.
    """

    def __init__(self, epochs_done: float) -> None:
        self._began = self.kept = time.monotonic()
        self._first = epochs_done

    def seconds_left(self, done: float, epochs: int) -> float:
        """Return the seconds from the last state kept on; 0 where no epoch has been trained yet."""
        trained = done - self._first
        return (self.kept - self._began) / trained * (epochs - done) if trained > 0 else 0.0
