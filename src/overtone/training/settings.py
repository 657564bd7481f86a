"""The settings of a training: the group ``train`` of params.yaml."""

from dataclasses import dataclass

from overtone.core.params import check, check_choice
from overtone.training.augment import AugmentSettings
from overtone.training.discriminators import AdversarialSettings
from overtone.training.losses import check_weights


@dataclass(frozen=True)
class TrainSettings:
    """The group ``train`` of params.yaml.

    Attributes:
        loss: weights of the losses by name (l1, l2, stft, stft_magnitude); not used for a network that has a
            loss of its own (``OwnLoss``).
        lr: Adam's learning rate at the start.
        batch: segments per step of the optimiser.
        micro_batch: segments that go through the network at once, on all ranks together; gradients are
            summed over a batch. A smaller one needs less memory; batch norm then sees fewer segments, so
            results differ.
        epochs: how many at most.
        schedule: ``plateau`` lowers the learning rate when the validation loss stalls, as the paper does;
            ``cosine`` lowers it step by step to nothing over all epochs.
        plateau_factor: what the learning rate is multiplied by when the validation loss stalls.
        plateau_patience: epochs without a better validation loss before that.
        stop_patience: epochs without a better validation loss before training stops.
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device multiplies it
            faster.
        seed: seeds the first weights, the order of the segments and their augmentation.
        augment: filters, levels and codecs drawn for every batch.
        adversarial: a discriminator beside the losses.
        from_: the key ``from``: a folder with a model to start from, ``shipped``, or None for fresh weights.
        freeze: weights that are not trained, by the ends of their names.
    """

    loss: dict[str, float]
    lr: float
    batch: int
    micro_batch: int
    epochs: int
    schedule: str
    plateau_factor: float
    plateau_patience: int
    stop_patience: int
    precision: str
    seed: int
    augment: AugmentSettings
    adversarial: AdversarialSettings
    from_: str | None = None
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_weights(self.loss)
        check(0 < self.lr <= 1, "train.lr", self.lr, "a learning rate, above 0 and up to 1")
        check(self.batch >= 1, "train.batch", self.batch, "a number of segments, 1 or more")
        check(
            1 <= self.micro_batch <= self.batch,
            "train.micro_batch",
            self.micro_batch,
            f"a number of segments, 1 to train.batch ({self.batch})",
        )
        check(self.epochs >= 1, "train.epochs", self.epochs, "a whole number, 1 or more")
        check_choice("train.schedule", self.schedule, ("plateau", "cosine"))
        inside = 0 < self.plateau_factor < 1
        check(inside, "train.plateau_factor", self.plateau_factor, "a factor, above 0 and below 1")
        for key in ("plateau_patience", "stop_patience"):
            value = getattr(self, key)
            check(value >= 0, f"train.{key}", value, "a number of epochs, 0 or more")
        # What is drawn from it for a step fits into 64 bits.
        check(0 <= self.seed <= 1_000_000, "train.seed", self.seed, "a whole number, 0 to 1,000,000")
        check_choice("train.precision", self.precision, ("float32", "bfloat16", "auto"))
        if self.adversarial.weight:
            start, allowed = self.adversarial.start, f"an epoch, 1 to train.epochs ({self.epochs})"
            check(start <= self.epochs, "train.adversarial.start", start, allowed)
            allowed = "cosine when train.adversarial.weight is above 0, as no loss tells when it is done"
            check(self.schedule == "cosine", "train.schedule", self.schedule, allowed)
