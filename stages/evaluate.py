"""Score the model and what needs no training on the test split: metrics/test.json, plots/, examples."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from overtone import models, params, plots, tables
from overtone.baselines import BASELINES
from overtone.degrade import DegradeSettings
from overtone.device import choose_device
from overtone.evaluation import EvaluateSettings, Evaluation, System, show, takes
from overtone.models import Network
from overtone.restoring import Restorer
from overtone.shards import Pairs, SegmentSettings
from stages import run


def whole(net: Network, samples: Tensor, cutoff: float, rate: int, keep_low: bool = True) -> Tensor:
    """Restore (channels, time) as ``overtone restore`` does; what is scored is what people get."""
    peak = float(samples.abs().max())
    restorer = Restorer(net, rate, len(samples), cutoff, peak, out_rate=rate, keep_low=keep_low)
    return torch.from_numpy(np.concatenate([restorer.process(samples.numpy()), restorer.flush()], axis=1))


def main() -> None:
    """Run the stage."""
    settings = params.read("evaluate", EvaluateSettings)
    cutoff = params.read("degrade", DegradeSettings).cutoff_hz
    scale = params.read("segment", SegmentSettings).scale
    pairs = Pairs("data/pairs")
    segments = pd.read_csv("data/segments.csv")
    subset = pd.read_csv("data/subset.csv", index_col="track_id", dtype={"genre": str, "title": str})
    titles = subset["title"].to_dict()
    net, _ = models.load("data/model")
    net.to(choose_device())
    systems: dict[str, System] = {
        **BASELINES,
        "model": lambda samples, cutoff, rate: whole(net, samples, cutoff, rate),
        "network alone": lambda samples, cutoff, rate: whole(net, samples, cutoff, rate, keep_low=False),
    }

    for folder in map(Path, ("data/examples", "plots/spectrograms", "metrics")):
        folder.mkdir(parents=True, exist_ok=True)
    evaluation = Evaluation(systems, pairs.rate, cutoff, scale)
    shown = []
    for number, take in enumerate(takes(pairs, segments[segments["split"] == "test"]), start=1):
        made = evaluation.add(take)
        if number <= settings.pictures:
            title = f"{titles[take.track_id]} (track {take.track_id:06d})"
            shown.append(show(number, take, made["model"], evaluation, settings.excerpt, title))
        print(f"scored {number}: track {take.track_id:06d}", flush=True)
    joined = {name: torch.cat([versions[name] for versions in shown], dim=1) for name in shown[0]}
    plots.mean_spectra(joined, pairs.rate, cutoff, Path("plots/spectrum.png"))
    plots.distance_by_frequency(evaluation.distances(), cutoff, Path("plots/distance.png"))
    genres = {str(track): genre for track, genre in subset["genre"].items()}
    by_track = evaluation.by_track()
    tables.write_csv(by_track, genres, cutoff, Path("plots/scores.csv"))
    results = tables.summarize(by_track, genres, settings.resamples, settings.seed)
    tables.write(results, Path("metrics/test.json"))
    print(f"\n{tables.text(results)}\nplots: plots/*.png   examples: data/examples/*.flac")


if __name__ == "__main__":
    run(main)
