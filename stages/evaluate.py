"""Score every system on the test split: metrics/test.json, what each took (data/systems.json), plots."""

import tempfile
from pathlib import Path

import pandas as pd
import torch

from overtone import costs, params, plots, systems, tables
from overtone.degrade import DegradeSettings
from overtone.device import choose_device
from overtone.evaluation import EvaluateSettings, Evaluation, show, takes
from overtone.segments import SegmentSettings
from overtone.shards import Pairs
from stages import run


def main() -> None:
    """Run the stage."""
    settings = params.read("evaluate", EvaluateSettings)
    cutoff = params.read("degrade", DegradeSettings).cutoff_hz
    scale = params.read("segment", SegmentSettings).scale
    pairs = Pairs("data/pairs", choose_device())
    segments = pd.read_csv("data/segments.csv")
    test = segments[segments["split"] == "test"]
    subset = pd.read_csv("data/subset.csv", index_col="track_id", dtype={"genre": str, "title": str})
    titles = subset["title"].to_dict()

    for folder in map(Path, ("data/examples", "plots/spectrograms", "metrics")):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="overtone-systems-") as own:
        made_by, failed = systems.rows(
            settings.systems, lambda: takes(pairs, test), cutoff, pairs.rate, Path(own)
        )
        pictured = next((name for name in settings.systems if name in made_by), "input")
        evaluation = Evaluation(made_by, pairs.rate, cutoff, scale)
        shown = []
        for number, take in enumerate(takes(pairs, test), start=1):
            made = evaluation.add(take)
            if number <= settings.pictures:
                title = f"{titles[take.track_id]} (track {take.track_id:06d})"
                shown.append(show(number, take, made[pictured], evaluation, settings.excerpt, title))
            print(f"scored {number}: track {take.track_id:06d}", flush=True)
    joined = {name: torch.cat([versions[name] for versions in shown], dim=1) for name in shown[0]}
    plots.mean_spectra(joined, pairs.rate, cutoff, Path("plots/spectrum.png"))
    plots.distance_by_frequency(evaluation.distances(), cutoff, Path("plots/distance.png"))
    genres = {str(track): genre for track, genre in subset["genre"].items()}
    by_track = evaluation.by_track()
    tables.write_csv(by_track, genres, cutoff, Path("plots/scores.csv"))
    results = tables.summarize(by_track, genres, settings.resamples, settings.seed)
    tables.write(results, Path("metrics/test.json"))
    machine = costs.machine(str(choose_device()), torch.get_num_threads())
    took = {"machine": machine, "systems": systems.costs(made_by, failed, pairs.rate)}
    costs.write(took, Path("data/systems.json"))
    print(f"\n{tables.text(results)}\n{costs.text(took)}")
    print("plots: plots/*.png   examples: data/examples/*.flac")


if __name__ == "__main__":
    run(main)
