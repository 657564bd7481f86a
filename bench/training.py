"""Training throughput of the U-Net by channels, precision and loss, and what reading a batch costs beside it.

python bench/training.py (4 minutes) -> bench/results/training.md
"""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from machine import machine, peak_memory, pipeline, save

from overtone.losses import weighted
from overtone.models.unet import UNet, UNetSettings
from overtone.segments import Segments
from overtone.shards import Pairs
from overtone.training import _step

ROUNDS, CPU = 4, torch.device("cpu")
SMALL, MEDIUM, PAPER = (8, 16, 32, 64), (16, 32, 64, 128), (64, 128, 256, 512)
RUNS = [
    (channels, loss, precision)
    for channels, loss in ((SMALL, "stft"), (SMALL, "stft_magnitude"), (MEDIUM, "stft"), (PAPER, "stft"))
    for precision in ("float32", "bfloat16")
]


@dataclass
class Step:
    """Seconds of one step without its reading: by wall clock, and of the processor."""

    wall: float
    cpu: float


class Run:
    """A network in training, a step at a time, as `fit` does it."""

    def __init__(self, folder: Path, channels: tuple[int, ...], loss: str, precision: str) -> None:
        self.precision = precision
        self.batch = 2 if channels == PAPER else 8
        table = pd.read_csv(folder / "data/segments.csv")
        self.data = Segments(
            Pairs(folder / "data/pairs"), table[table["split"] == "training"], "shared", 4800.0
        )
        torch.manual_seed(1)
        self.net = UNet(UNetSettings(channels)).train()
        self.optimiser = torch.optim.Adam(self.net.parameters())
        self.loss = weighted({loss: 1.0})
        order = torch.randperm(len(self.data)).tolist()
        self.todo = [order[at : at + self.batch] for at in range(0, len(order) - self.batch, self.batch)]
        self.taken = 0

    def step(self) -> Step:
        """Take one step with the next batch."""
        batch = self.data.batch(self.todo[self.taken])
        self.taken += 1
        wall, cpu = time.perf_counter(), time.process_time()
        _step(self.net, self.loss, self.optimiser, batch, self.batch, self.precision)
        return Step(time.perf_counter() - wall, time.process_time() - cpu)

    def read(self) -> float:
        """Median seconds that the reader takes for a batch by itself."""
        took = []
        for places in self.todo:
            began = time.perf_counter()
            self.data.batch(places)
            took.append(time.perf_counter() - began)
        return statistics.median(took)


run: Run


def start(folder: Path, channels: tuple[int, ...], loss: str, precision: str) -> float:
    """Make this process the one that trains so, take a first step, and return its seconds of audio."""
    global run
    torch.set_num_threads(1)
    run = Run(folder, channels, loss, precision)
    run.step()  # the first is slower: libraries choose their kernels
    return run.batch * run.data.length / run.data.pairs.rate


def step() -> Step:
    """A step of this process's network."""
    return run.step()


def finish() -> tuple[float, float]:
    """Peak memory in MB, and the seconds of reading a batch."""
    return peak_memory(), run.read()


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segment = {"length": 65536, "hop": 65536, "per_track": None}
        pipeline(folder, segment=segment)
        # A process for each, so that each has its own peak; they take steps in turn, never together.
        own = [ProcessPoolExecutor(1, get_context("spawn")) for _ in RUNS]
        audio = [pool.submit(start, folder, *what).result() for pool, what in zip(own, RUNS, strict=True)]
        rounds = [[pool.submit(step).result() for pool in own] for _ in range(ROUNDS)]
        ends = [pool.submit(finish).result() for pool in own]
        for pool in own:
            pool.shutdown()
    rows = []
    for (channels, loss, precision), seconds, steps, (peak, read) in zip(
        RUNS, audio, zip(*rounds, strict=True), ends, strict=True
    ):
        wall = statistics.median(step.wall for step in steps)
        cpu = statistics.median(step.cpu for step in steps)
        speed = f"{seconds / wall:.2f} | {seconds / cpu:.2f}"
        reading = f"{1000 * read:.1f} | {read / wall:.3%}"
        what = f"{list(channels)} | {loss} | {precision}"
        rows.append(f"| {what} | {seconds:.1f} | {speed} | {reading} | {peak:.0f} |")
    save(
        "training",
        f"""# Training throughput of the U-Net

{machine()}

Forward, loss, backward and optimiser of `overtone.training` on segments of 65536 samples of the bundled
music, one thread; 8 segments in a batch, 2 at the paper's width. Medians of {ROUNDS} steps after a first one,
the networks taking turns. *Speed* is seconds of audio per second by wall clock; *per CPU second* is the
steadier figure on a shared machine. *Reading* is `Segments.batch` by itself, the shards in the file cache, in
milliseconds and as a share of a step. Training does not even wait that long for it: a thread reads the next
batches while the network works.

| channels | loss | precision | batch, s | speed | per CPU second | reading, ms | of a step | peak, MB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )


if __name__ == "__main__":
    main()
