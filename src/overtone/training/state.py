"""The state of a training, and what observes it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from torch import Tensor

from overtone.training.step import Losses

History = list[dict[str, float]]


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        epoch: the one that comes next or is under way, counted from 1.
        step: steps of it that have been taken.
        sums: of this epoch's losses so far, each weighted by the segments of its batch.
        history: a row per finished epoch: epoch, train_loss, validation_loss, lr, and once the discriminator
            is on discriminator_loss, adversarial_loss and feature_matching_loss, the latter two before their
            weights.
        best_loss, best_epoch, best: validation loss, epoch and weights of the network to keep.
        stale: epochs since then.
    """

    epoch: int = 1
    step: int = 0
    sums: Losses = field(default_factory=dict)
    history: History = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0


class TrainState(TypedDict):
    """All that the next step depends on, in plain values and tensors."""

    progress: dict[str, Any]  # the fields of `Progress`
    net: dict[str, Tensor]
    optimiser: dict[str, Any]
    scheduler: dict[str, Any]
    random: Tensor
    adversary: NotRequired[dict[str, Any]]


@dataclass(frozen=True)
class Observer:
    """Receive the progress of a training.

    Attributes:
        keep: is given a state after every epoch and at least once a minute.
        report: is given the history after every epoch, and the seconds that the remaining epochs take at
            most.
        say: is given a line of progress whenever a state is kept within an epoch.
    """

    keep: Callable[[TrainState], None] = lambda state: None
    report: Callable[[History, float], None] = lambda history, seconds_left: None
    say: Callable[[str], None] = lambda line: None
