"""Check the groups of params.yaml that training uses against one another, before any work is done for it."""

from pathlib import Path

from overtone.core.params import check
from overtone.core.rates import MODEL_RATE
from overtone.data.dataset.segments import SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.models import registry
from overtone.models.network import OwnLoss
from overtone.models.registry import ModelSettings
from overtone.training import finetune, losses
from overtone.training.settings import TrainSettings
from overtone.training.step import freeze

# Where training writes its model.
MODEL = Path("data/model")


def has_own_loss(model: ModelSettings) -> bool:
    """Return whether the network is trained on a loss of its own, so that ``train.loss`` is not used."""
    network, _ = registry.MODELS[model.name]
    return issubclass(network, OwnLoss)


def check_params(
    train: TrainSettings, model: ModelSettings, segment: SegmentSettings, degrade: DegradeSettings
) -> None:
    """Raise unless the groups fit one another; no data is looked at.

    Raises:
        OvertoneError: with the key that does not fit, its value and what is allowed. The sample rate is not
            that of the networks, segments are too short for the loss, a network with a loss of its own has a
            discriminator, no weight has a name of ``train.freeze``, or the model of ``train.from`` is missing
            or another one.
    """
    allowed = f"{MODEL_RATE} to train with, as losses and restoring are made for that"
    check(degrade.rate == MODEL_RATE, "degrade.rate", degrade.rate, allowed)
    if has_own_loss(model):
        allowed = "0 for a network with a loss of its own, which leaves no output to judge"
        weight = train.adversarial.weight
        check(not weight, "train.adversarial.weight", weight, allowed)
    else:
        least = losses.shortest(train.loss)
        enough = train.augment.shortest(segment.length) >= least
        allowed = f"long enough for train.loss, {least} samples or more at any of train.augment's speeds"
        check(enough, "segment.length", segment.length, allowed)
    if train.from_ is not None:
        finetune.start(train.from_, model, MODEL)
    if train.freeze:
        freeze(registry.build(model), train.freeze)
