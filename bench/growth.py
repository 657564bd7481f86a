"""Measure time, memory and disk of every stage for 1, 2, 4 and 8 times the tracks, and the exponent of each.

python bench/growth.py (ten minutes on a core of its own, 5 GB of disk, given back)
    -> bench/results/growth.md

The time fitted is processor time above that of a run with few tracks, which has all that a stage does once
(parts of libraries loaded at their first use, plots): where cost is a + b n, that is b n, and the exponent
is 1. A line through the logarithms of the whole times would come out below 1 and hide growth.
"""

import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import synthetic
import yaml
from machine import machine, save
from measured import Cost, exponent, measure, size_of

LIMIT = 1.05
TIMES = (1, 2, 4, 8)
ROUNDS = 3
SECONDS = 0.5
# Reading and splitting a table is quick: exponents of less than a tenth of a second say nothing.
AUDIO, TABLES = 60, 30_000
FEW = 0.2  # of the smallest size, for the run that is taken off
LEAST = 0.1  # seconds above few at the largest size: less gives no exponent
STAGES: dict[str, tuple[int, tuple[str, ...]]] = {
    # Fewer files cost less each, at half this number by a fifth: what they take fits into the caches.
    "download_fma, archive": (400 * AUDIO, ("data/fma",)),
    "download_fma, own folder": (10 * AUDIO, ("data/fma",)),
    "select_subset": (TABLES, ("data/subset.csv",)),
    "split": (TABLES, ("data/split.csv",)),
    "degrade": (AUDIO, ("data/pairs",)),
    "segment": (AUDIO, ("data/segments.csv",)),
    "train, an epoch": (AUDIO, ("data/model",)),
    "evaluate": (AUDIO, ("metrics/test.json", "plots/scores.csv", "data/examples")),
    "report": (AUDIO, ("plots/report.html",)),
}
CHANGES: dict[str, dict[str, Any]] = {
    "select": {"tracks": None},
    "split": {"by": "track", "test": 0.2},  # evaluate has exactly a fifth of the tracks, at any size
    "segment": {"length": 4096, "hop": 512, "per_track": 4},  # many to choose from: else too quick to time
    "model": {"unet": {"channels": [2, 2, 2, 2]}},
    "train": {"epochs": 1, "batch": 4, "micro_batch": 4, "precision": "float32"},
    "evaluate": {"resamples": 100, "pictures": 1, "excerpt": 0.4},
}


def of_archive(folder: Path, made: list[Path], tracks: int) -> None:
    """A folder in which the first stage unpacks archives."""
    (folder / "archives").mkdir()
    synthetic.archive(made, folder / "archives/fma_large.zip", tracks)
    digest = hashlib.sha1((folder / "archives/fma_large.zip").read_bytes()).hexdigest()
    (folder / "archives/sums.json").write_text(json.dumps({"fma_large.zip": digest}))


def of_folder(folder: Path, made: list[Path], tracks: int) -> None:
    """A folder in which the first stage describes one's own music."""
    synthetic.link(made, folder / "own", tracks)
    values = yaml.safe_load((folder / "params.yaml").read_text())
    values["download"]["folder"] = str(folder / "own")
    (folder / "params.yaml").write_text(yaml.safe_dump(values))


def of_tables(folder: Path, made: list[Path], tracks: int) -> None:
    """A folder with tracks.csv and no audio."""
    synthetic.write_tables(folder / "data/fma", tracks)


def of_music(folder: Path, made: list[Path], tracks: int) -> None:
    """A folder with tracks.csv and clips."""
    of_tables(folder, made, tracks)
    synthetic.link(made, folder / "data/fma", tracks)


MAKERS: dict[str, Callable[[Path, list[Path], int], None]] = {
    "download_fma, archive": of_archive,
    "download_fma, own folder": of_folder,
    "select_subset": of_tables,
    "degrade": of_music,
}


def middle(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def marked(power: float | None) -> str:
    """An exponent as people read it: one over the limit stands out."""
    if power is None:
        return f"under {LEAST} s"
    return f"{power:.2f}" if power <= LIMIT else f"**{power:.2f}, OVER {LIMIT}**"


def grow(root: Path, made: list[Path]) -> tuple[list[str], list[str]]:
    """Run all stages at all sizes; rows of the summary and of the table."""
    summary, table, folders = [], [], []
    for label, (base, outs) in STAGES.items():
        sizes = [max(12, round(base * FEW)), *(base * times for times in TIMES)]
        if make := MAKERS.get(label):
            folders = [root / label / str(tracks) for tracks in sizes]
            for folder, tracks in zip(folders, sizes, strict=True):
                synthetic.workspace(folder, **CHANGES)
                make(folder, made, tracks)
        if label == "degrade":
            for stage in ("select_subset", "split"):
                measure(stage, folders)
        # All sizes in turn, several times over: other work on the machine hits none alone.
        runs = measure(label.partition(",")[0], folders * ROUNDS)
        few, *costs = [middle(runs[place :: len(sizes)]) for place in range(len(sizes))]
        disks = [sum(size_of(folder / out) for out in outs) / 1e6 for folder in folders[1:]]
        above = [cost.cpu - few.cpu for cost in costs]
        powers = [
            exponent([tracks - sizes[0] for tracks in sizes[1:]], above) if above[-1] > LEAST else None,
            exponent(sizes[1:], [cost.memory for cost in costs]),
            exponent(sizes[1:], disks),
        ]
        summary.append(f"| {label} | {' | '.join(map(marked, powers))} |")
        for tracks, cost, disk in zip(sizes[1:], costs, disks, strict=True):
            figures = f"{cost.wall:.2f} | {cost.cpu:.2f} | {cost.cpu - few.cpu:.2f} | {cost.memory:.0f}"
            table.append(f"| {label} | {tracks:,} | {figures} | {disk:.2f} |")
        print(summary[-1], *table[-len(TIMES) :], sep="\n", flush=True)
    return summary, table


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory(prefix="overtone-growth-") as name:
        summary, table = grow(Path(name), synthetic.clips(Path(name) / "clips", SECONDS))
    save(
        "growth",
        f"""# Cost grows as the work grows

{machine()}

`python bench/growth.py`: generated clips of {SECONDS} s, {", ".join(map(str, TIMES))} times the tracks,
one core; medians of {ROUNDS} rounds. *Exponent*: the p of cost = c * tracks^p, by least squares on
logarithms; 1 is linear, 0 constant. One over {LIMIT} is in bold. That of time is fitted to *above few*: the
processor time less that of a run with {FEW:.0%} of the smallest number of tracks, against the tracks less
those, since every stage has a part that does not depend on the tracks; where no more than {LEAST} s are left
at the largest size, there is none. Times are of the stage's work, without the start of Python and its
imports; memory is the peak of the process with them.

| stage | time | memory | disk |
| --- | ---: | ---: | ---: |
{chr(10).join(summary)}

| stage | tracks | seconds | processor seconds | above few | peak MB | disk, MB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(table)}
""",
    )
    if any("OVER" in row for row in summary):
        sys.exit("error: a stage grows faster than the work; bench/results/growth.md marks it")


if __name__ == "__main__":
    main()
