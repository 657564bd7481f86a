"""Score every system on the test split: metrics/test.json, plots/scores.csv, data/examples/ and more."""

from pathlib import Path

import pandas as pd

from overtone.core import atomic, params
from overtone.core.tables import read_table
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.evaluation.comparison import examples, intervals, run
from overtone.evaluation.comparison.chunks import EvaluateSettings
from stages import run as run_stage

EXAMPLES = Path("data/examples")


def main() -> None:
    """Run the stage."""
    settings = params.read("evaluate", EvaluateSettings)
    degrade = params.read("degrade", DegradeSettings)
    scale = params.read("segment", SegmentSettings).scale
    pairs = Pairs("data/pairs")
    segments = pd.read_csv("data/segments.csv")
    for folder in (EXAMPLES, Path("metrics"), Path("plots")):
        folder.mkdir(parents=True, exist_ok=True)
    test = segments[segments["split"] == "test"]
    found = run.run(pairs, test, settings, degrade, scale, EXAMPLES)
    shown = found.audible(settings.systems)
    for number, (_, versions) in enumerate(found.excerpts, start=1):
        examples.write(number, versions, shown, pairs.rate, EXAMPLES)
    subset = read_table(Path("data/subset.csv"))
    genres = {str(track): genre for track, genre in subset["genre"].items()}
    intervals.write_csv(found.scores, genres, Path("plots/scores.csv"))
    with atomic.replacing("data/distance.csv") as temporary:
        found.results[0].distance_table().to_csv(temporary, index=False)
    atomic.write_json(run.summary(found, genres, settings), Path("metrics/test.json"))
    atomic.write_json(found.costs(), Path("data/systems.json"))
    print("scores: make table   examples to listen to: data/examples/*.flac")


if __name__ == "__main__":
    run_stage(main)
