"""Compare stored pairs with degradation on the fly: seconds of audio per second of a core, and disk.

python bench/onthefly.py (2 minutes) -> bench/results/onthefly.md
"""

import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from machine import machine, pipeline, save
from measured import measure, size_of

from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments

ROUNDS = 5
BATCH = 8
WAYS = {"stored": True, "on the fly": False}
ONE = torch.device("cpu")


def reading(folder: Path) -> float:
    """Processor seconds of reading every segment of the pairs once, in batches as `train` has them."""
    segments = Segments(
        Pairs(folder / "data/pairs"), pd.read_csv(folder / "data/segments.csv"), "shared", 4800.0
    )
    began = time.process_time()
    for at in range(0, len(segments), BATCH):
        segments.batch(list(range(at, min(at + BATCH, len(segments))))).to(ONE)
    return time.process_time() - began


def main() -> None:
    """Measure and write the results."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folders = []
        for way, store in WAYS.items():
            folders.append(Path(name) / way)
            folders[-1].mkdir()
            segment = {"length": 65536, "hop": 65536, "per_track": None}
            pipeline(folders[-1], degrade={"store": store}, segment=segment)
        index = Pairs(folders[0] / "data/pairs").index
        seconds = index["samples"].sum() / 44100
        listed = len(pd.read_csv(folders[0] / "data/segments.csv")) * 65536 / 44100
        work = {
            "`degrade`, from MP3": (seconds, [cost.cpu for cost in measure("degrade", folders * ROUNDS)]),
            "`segment`": (seconds, [cost.cpu for cost in measure("segment", folders * ROUNDS)]),
            "batches for `train`": (listed, [reading(folder) for folder in folders * ROUNDS]),
        }
        disk = [size_of(folder / "data/pairs") / 1e6 / seconds * 3600 for folder in folders]
    rows = []
    for label, (audio, took) in work.items():
        speeds = [audio / statistics.median(took[place :: len(folders)]) for place in range(len(folders))]
        rows.append(f"| {label} | {' | '.join(f'{speed:,.0f}' for speed in speeds)} |")
    save(
        "onthefly",
        f"""# Stored pairs, and degraded halves made on the fly

{machine()}

`python bench/onthefly.py`: {len(index)} clips, {seconds / 60:.1f} minutes; seconds of audio per second of
processor time, on one core, PyTorch on one thread; medians of {ROUNDS} rounds, the two ways in turn. Stages
are without the start of Python and its imports. Segments have 65536 samples, batches {BATCH} of them.
*On the fly* is `degrade.store: false`.

| | {" | ".join(WAYS)} |
| --- | {" | ".join("---:" for _ in WAYS)} |
{chr(10).join(rows)}
| MB of `data/pairs` an hour of audio | {" | ".join(f"{size:,.1f}" for size in disk)} |
""",
    )


if __name__ == "__main__":
    main()
