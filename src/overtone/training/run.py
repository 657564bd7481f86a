"""Train the network that params.yaml names, from the pairs of data/pairs to a model: the stage ``train``.

An interrupted run continues from its last state, if nothing that decides the run has changed since.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from overtone.core import atomic
from overtone.core.params import plain
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments, SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.models import registry
from overtone.models.device import choose_precision
from overtone.models.registry import ModelSettings, Network
from overtone.training import distributed, finetune
from overtone.training.checkpoint import Checkpoint, fingerprint
from overtone.training.checks import MODEL, check_params, has_own_loss
from overtone.training.loop import Trainer
from overtone.training.settings import TrainSettings
from overtone.training.state import History, Observer, Progress

PAIRS, SEGMENTS = Path("data/pairs"), Path("data/segments.csv")
CURVE, METRICS = Path("plots/loss.csv"), Path("metrics/train.json")


@dataclass(frozen=True)
class Groups:
    """The groups of params.yaml that decide a training."""

    train: TrainSettings
    model: ModelSettings
    segment: SegmentSettings
    degrade: DegradeSettings


def train(groups: Groups, device: torch.device) -> None:
    """Train and write model, loss curve and metrics; where ranks have joined, rank 0 writes.

    Raises:
        OvertoneError: the groups do not fit one another, the loss became NaN or infinite, or a rank has other
            settings, code or data.
    """
    check_params(groups.train, groups.model, groups.segment, groups.degrade)
    precision = choose_precision(groups.train.precision, device)
    training, validation = load_segments(groups)
    net, started_from = build_network(groups)
    about = {name: plain(getattr(groups, name)) for name in ("train", "model", "segment")} | started_from
    if has_own_loss(groups.model):
        say(f"{groups.model.name} is trained on a loss of its own; train.loss is not used")
        about["train"]["loss"] = "its own"
    size = sum(weight.numel() for weight in net.parameters())
    say(f"{groups.model.name}, {size:,} parameters, on {device} in {precision}; {len(training)} segments")
    name = fingerprint(about | {"precision": precision}, decisive_files())
    checkpoint = Checkpoint(distributed.check_agreement(name))
    first_rank = distributed.rank_index() == 0
    observer = Observer(checkpoint.keep, report_epoch, say) if first_rank else Observer()
    trainer = Trainer(net, groups.train, device, precision, observer)
    resume(trainer, checkpoint)
    progress = trainer.fit(training, validation)
    if first_rank:
        result = summarize(progress) | {"parameters": size}
        write_curve(progress.history)
        atomic.write_json(result, METRICS)
        about |= {"degrade": plain(groups.degrade), "precision": precision, "result": result}
        registry.save(net.cpu(), groups.model.name, MODEL, about)
        checkpoint.delete()


def load_segments(groups: Groups) -> tuple[Segments, Segments]:
    """Open the segments of the training and the validation split."""
    pairs, table = Pairs(PAIRS), pd.read_csv(SEGMENTS)
    training, validation = (
        Segments(
            pairs,
            table[table["split"] == split],
            groups.segment.scale,
            groups.degrade.cutoff_hz,
            degraded=not groups.train.augment.filters,
            side=groups.degrade.channels == "side",
        )
        for split in ("training", "validation")
    )
    return training, validation


def build_network(groups: Groups) -> tuple[Network, dict[str, Any]]:
    """Build the network with fresh weights, or load the one of ``train.from``.

    Returns:
        The network, and where it started from, under ``started_from``; nothing for fresh weights.
    """
    torch.manual_seed(groups.train.seed)
    if groups.train.from_ is None:
        return registry.build(groups.model), {}
    net, started_from = finetune.start(groups.train.from_, groups.model, MODEL)
    say(f"starting from the weights of {groups.train.from_}")
    return net, {"started_from": started_from}


def decisive_files(pipeline: Path = Path("dvc.yaml")) -> list[Path]:
    """List the files that decide a training: what dvc.yaml lists, its folders walked for modules.

    The samples are named by the tables of their checksums.
    """
    stage = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"]["train"]
    files = [PAIRS / "index.csv", PAIRS / "shards.csv", *PAIRS.glob("degrade.json")]
    for path in map(Path, stage["deps"]):
        if path != PAIRS:
            files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return files


def resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Let a trainer continue from the state that rank 0 finds, if there is one."""
    state = distributed.broadcast(checkpoint.load() if distributed.rank_index() == 0 else None)
    if state is not None:
        trainer.load_state_dict(state)
        epoch, step = trainer.progress.epoch, trainer.progress.step
        say(f"going on in epoch {epoch}, at step {step}, from {checkpoint.folder}")


def report_epoch(history: History, seconds_left: float) -> None:
    """Write the curve, so that plots work during training, and print the last epoch's losses."""
    write_curve(history)
    last = history[-1]
    names = ("adversarial_loss", "feature_matching_loss", "discriminator_loss")
    terms = "".join(f", {name.replace('_', ' ')} {last[name]:.5g}" for name in names if name in last)
    say(
        f"epoch {last['epoch']}: training loss {last['train_loss']:.5g}, validation loss "
        f"{last['validation_loss']:.5g}{terms}, lr {last['lr']:g}, {seconds_left:.0f} s left at most"
    )


def write_curve(history: History) -> None:
    """Write the loss curve, a row per epoch."""
    CURVE.parent.mkdir(exist_ok=True)
    with atomic.replacing(CURVE) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def summarize(progress: Progress) -> dict[str, float]:
    """Compute the metrics of a training: the losses of the epoch whose weights are kept."""
    best = progress.history[progress.best_epoch - 1]
    return {
        "train_loss": best["train_loss"],
        "validation_loss": best["validation_loss"],
        "best_epoch": best["epoch"],
        "epochs": len(progress.history),
    }


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)
