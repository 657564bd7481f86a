"""Train the network that params.yaml names: data/model/, plots/loss.csv, metrics/train.json."""

import json
import sys
from pathlib import Path

import pandas as pd
import torch
import yaml

from overtone.core import params
from overtone.core.params import plain
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments, SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.models import registry
from overtone.training import distributed, finetune, launch, losses
from overtone.training.checkpoint import Checkpoint, fingerprint
from overtone.training.loop import OwnLoss, choose_precision, fit
from overtone.training.settings import TrainSettings
from stages import run

LOSS = Path("plots/loss.csv")
MODEL = Path("data/model")


def decides(pairs: Path) -> list[Path]:
    """The files that decide the run: what dvc.yaml lists, with the pairs named by their checksums."""
    deps = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["train"]["deps"]
    named = [pairs / "index.csv", pairs / "shards.csv", *pairs.glob("degrade.json")]
    files = [
        file
        for dep in map(Path, deps)
        if dep != pairs
        for file in (sorted(dep.rglob("*.py")) if dep.is_dir() else [dep])
    ]
    return files + named


def write_curve(history: list[dict[str, float]]) -> None:
    """Write the whole loss curve, or none of it."""
    LOSS.parent.mkdir(exist_ok=True)
    partial = LOSS.with_suffix(".tmp")
    pd.DataFrame(history).to_csv(partial, index=False)
    partial.replace(LOSS)


def report(history: list[dict[str, float]], seconds_left: float) -> None:
    """Write the curve after every epoch, so that plots work while it trains, and say where it stands."""
    write_curve(history)
    last = history[-1]
    names = ("adversarial_loss", "feature_matching_loss", "discriminator_loss")
    terms = "".join(f", {name.replace('_', ' ')} {last[name]:.5g}" for name in names if name in last)
    tell(
        f"epoch {last['epoch']}: training loss {last['train_loss']:.5g}, validation loss "
        f"{last['validation_loss']:.5g}{terms}, lr {last['lr']:g}, {seconds_left:.0f} s left at most"
    )


def tell(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def main() -> None:
    """Run the stage."""
    settings = params.read("train", TrainSettings)
    model = params.read("model", registry.ModelSettings)
    degrade = params.read("degrade", DegradeSettings)
    segment = params.read("segment", SegmentSettings)
    device = launch.join()
    precision = choose_precision(settings.precision, device)
    pairs = Pairs("data/pairs")
    table = pd.read_csv("data/segments.csv")
    training, validation = (
        Segments(
            pairs,
            table[table["split"] == name],
            segment.scale,
            degrade.cutoff_hz,
            degraded=not settings.augment.filters,
            side=degrade.channels == "side",
        )
        for name in ("training", "validation")
    )
    everything = {"train": plain(settings), "model": plain(model), "segment": plain(segment)}
    torch.manual_seed(settings.seed)
    if settings.from_ is None:
        net = registry.build(model)
    else:
        net, everything["started_from"] = finetune.start(settings.from_, model, MODEL)
        print(f"starting from the weights of {settings.from_}")
    if isinstance(net, OwnLoss):
        print(f"{model.name} is trained on a loss of its own; train.loss is not used")
        everything["train"]["loss"] = "its own"
    else:
        least = losses.shortest(settings.loss)
        enough = settings.augment.shortest(segment.length) >= least
        allowed = f"long enough for train.loss, {least} samples or more at any of train.augment's speeds"
        params.check(enough, "segment.length", segment.length, allowed)
    size = sum(weight.numel() for weight in net.parameters())
    print(f"{model.name}, {size:,} parameters, on {device} in {precision}; {len(training)} segments")

    name = distributed.check_agreement(
        fingerprint(everything | {"precision": precision}, decides(pairs.folder))
    )
    checkpoint = Checkpoint(name)
    state = distributed.broadcast(checkpoint.load() if distributed.rank_index() == 0 else None)
    if state is not None:
        print(f"going on in epoch {state['epoch']}, at step {state['step']}, from {checkpoint.folder}")
    # Rank 0 alone writes.
    tools = (checkpoint.keep, report, tell) if distributed.rank_index() == 0 else ()
    state = fit(net, training, validation, settings, device, precision, state, *tools)
    if distributed.rank_index() > 0:
        return

    history = state["history"]
    best = history[state["best_epoch"] - 1]
    result = {
        "train_loss": best["train_loss"],
        "validation_loss": best["validation_loss"],
        "best_epoch": best["epoch"],
        "epochs": len(history),
        "parameters": size,
    }
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/train.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    write_curve(history)
    about = everything | {"degrade": plain(degrade), "precision": precision, "result": result}
    registry.save(net.cpu(), model.name, MODEL, about)
    checkpoint.delete()


if __name__ == "__main__":
    run(lambda: launch.run(main, [sys.executable, "-m", "stages.train"]))
