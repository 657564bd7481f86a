"""Train the network that params.yaml names: data/model/, plots/loss.csv, metrics/train.json."""

import os

from overtone.core import params
from overtone.data.dataset.segments import SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.models.registry import ModelSettings
from overtone.training import torchrun
from overtone.training.run import Groups, train
from overtone.training.settings import TrainSettings
from stages import run


def main() -> None:
    """Run the stage."""
    groups = Groups(
        train=params.read("train", TrainSettings),
        model=params.read("model", ModelSettings),
        segment=params.read("segment", SegmentSettings),
        degrade=params.read("degrade", DegradeSettings),
    )
    train(groups, torchrun.join())


if __name__ == "__main__":
    run(lambda: torchrun.run(main, "stages.train"), check="RANK" not in os.environ)
