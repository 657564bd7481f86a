"""Score every system on the test split: metrics/test.json, what each took (data/systems.json), plots."""

import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from overtone import (
    costs,
    evaluation,
    examples,
    gathering,
    parallel,
    params,
    perceptual,
    plots,
    probe,
    systems,
    tables,
)
from overtone.catalog import read_table
from overtone.degrade import DegradeSettings
from overtone.device import choose_device
from overtone.evaluation import EvaluateSettings
from overtone.judging import Work, judge
from overtone.segments import SegmentSettings
from overtone.shards import Pairs
from stages import run

FOLDER = Path("data/examples")
say = partial(print, flush=True)


def main() -> None:
    """Run the stage."""
    settings = params.read("evaluate", EvaluateSettings)
    degrade = params.read("degrade", DegradeSettings)
    cutoff = degrade.cutoff_hz
    pairs = Pairs("data/pairs")
    settings.check_cutoffs(cutoff, pairs.rate)
    if settings.visqol:
        perceptual.check()
    segments = pd.read_csv("data/segments.csv")
    test = segments[segments["split"] == "test"]
    subset = read_table(Path("data/subset.csv"))

    for folder in (FOLDER, Path("plots/spectrograms"), Path("metrics")):
        folder.mkdir(parents=True, exist_ok=True)
    work = Work(
        pairs=pairs.folder.absolute(),
        scale=params.read("segment", SegmentSettings).scale,
        device=str(choose_device()),
        visqol=settings.visqol,
        probe=test["track_id"].nunique() >= probe.LEAST,
        excerpt=settings.excerpt,
    )
    parts = evaluation.parts(pairs, test)
    gathered, calls, excerpts = [], [], []
    # Among the stage's outputs, since a cluster's workers see those.
    with tempfile.TemporaryDirectory(prefix=".systems-", dir=FOLDER) as own:
        for number, hertz in enumerate((cutoff, *settings.cutoffs)):
            anew = number > 0
            takes = partial(evaluation.takes, pairs, test, hertz if anew else None)
            made_by = systems.prepare(
                settings.systems,
                takes,
                hertz,
                pairs.rate,
                Path(own).absolute() / str(number),
                side=degrade.channels == "side",
            )
            gathered.append(gathering.Gathered(made_by, pairs.rate, hertz))
            for place, part in enumerate(parts):
                shown = not anew and place < settings.pictures
                calls.append((work, part, made_by.systems, hertz, anew, shown))
        judged = parallel.progress(parallel.each(judge, calls), len(calls), "evaluate: take", say)
        for place, one in enumerate(judged):
            gathered[place // len(parts)].add(one)
            excerpts += [(one.track_id, one.excerpts)] if one.excerpts else []
    first = gathered[0]
    heard = [name for name in settings.systems if name not in first.failed] or ["input"]
    drawn = []
    for number, (track_id, versions) in enumerate(excerpts, start=1):
        title = f"{subset['title'][track_id]} (track {track_id:06d})"
        drawn.append(examples.show(number, versions, heard, pairs.rate, cutoff, title))
    joined = {name: torch.cat([versions[name] for versions in drawn], dim=1) for name in drawn[0]}
    plots.mean_spectra(joined, pairs.rate, cutoff, Path("plots/spectrum.png"))
    distances, rows = first.distances(), first.pictured(len(plots.COLOURS))
    if len(rows) < len(distances):
        say(f"plots/distance.png has colours for {len(rows)} of {len(distances)} rows: {', '.join(rows)}")
    curves = {row: distances[row] for row in rows}
    plots.distance_by_frequency(curves, cutoff, first.reach(), Path("plots/distance.png"))
    genres = {str(track): genre for track, genre in subset["genre"].items()}
    scores = [one.by_track() for one in gathered]
    tables.write_csv(
        dict(zip((cutoff, *settings.cutoffs), scores, strict=True)), genres, Path("plots/scores.csv")
    )
    results = gathering.results(gathered, scores, genres, settings)
    tables.write(results, Path("metrics/test.json"))
    machine = costs.machine(work.device, parallel.place(len(calls)))
    took = {"machine": machine, "systems": first.costs()}
    costs.write(took, Path("data/systems.json"))
    print(f"\n{tables.text(results)}\n{costs.text(took)}")
    print("plots: plots/*.png   examples: data/examples/*.flac")


if __name__ == "__main__":
    run(main)
