"""Measure training throughput by network, precision and loss; shares of reading, augmentation and loss.

python bench/training.py [--batch SEGMENTS] [--to NAME] (5 minutes) -> bench/results/training.md, or NAME.md

It measures the device that `OVERTONE_DEVICE` names, else CUDA, else the CPU.
"""

import argparse
import json
import os
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
from torch.utils.flop_counter import FlopCounterMode

from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments
from overtone.models import registry
from overtone.models.device import choose_device, compile_where_asked
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.unet import UNet, UNetSettings
from overtone.training import distributed
from overtone.training.augment import AugmentSettings, augment
from overtone.training.batches import PlannedBatch
from overtone.training.losses import weighted
from overtone.training.step import NetworkWithLoss, Optimisation, take_step

ROUNDS = 4
SMALL, MEDIUM, PAPER = (8, 16, 32, 64), (16, 32, 64, 128), (64, 128, 256, 512)
# A U-Net by its channels, or the spectral network as it is shipped.
Net = tuple[int, ...] | SpectralSettings
# From its card: every process that is measured imports this, and its weights would count as memory.
CARD = json.loads((registry.SHIPPED / "model.json").read_text())
SHIPPED = SpectralSettings(**CARD["settings"])
NETS: tuple[tuple[Net, str], ...] = (
    (SMALL, "stft"),
    (SMALL, "stft_magnitude"),
    (MEDIUM, "stft"),
    (PAPER, "stft"),
    (SHIPPED, "lsd"),
)
# The network, its loss, its precision, and whether it is compiled.
RUNS = [
    *((net, loss, precision, False) for net, loss in NETS for precision in ("float32", "bfloat16")),
    (SHIPPED, "lsd", "float32", True),
]
# How the shipped model's inputs were damaged in its last training, of the side.
AUGMENT = CARD["about"]["recipe"]["side"]["train"]["augment"]
DAMAGE = AugmentSettings(**AUGMENT | {"kinds": tuple(AUGMENT["kinds"])})


@dataclass
class Step:
    """Seconds of one step without its reading: by wall clock, and of the processor."""

    wall: float
    cpu: float


@dataclass
class End:
    """What else was measured of a run: seconds of reading, damage and the loss, each by itself."""

    read: float
    damage: float
    loss: float
    flops: float  # of a step, multiplications and additions counted apart
    product: float  # the FLOP a second of a large matrix product in its precision
    peak: float  # MB


class Run:
    """A network in training, a step at a time, as `Trainer` does it."""

    def __init__(
        self, folder: Path, batch: int | None, what: Net, loss: str, precision: str, compiled: bool
    ) -> None:
        self.device = choose_device()
        self.precision = precision
        self.batch = batch or (16 if self.device.type == "cuda" else 2 if what == PAPER else 8)
        table = pd.read_csv(folder / "data/segments.csv")
        self.data = Segments(
            Pairs(folder / "data/pairs"), table[table["split"] == "training"], "shared", 4800.0
        )
        torch.manual_seed(1)
        self.loss = weighted({loss: 1.0})
        net = Spectral(what) if isinstance(what, SpectralSettings) else UNet(UNetSettings(what))
        net.train().to(self.device)
        os.environ["OVERTONE_COMPILE"] = str(int(compiled))
        compile_where_asked(net)
        self.net = NetworkWithLoss(net, self.loss, self.precision)
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
        self.work = Optimisation(self.net, optimiser, None, precision)
        order = torch.randperm(len(self.data)).tolist()
        self.todo = [order[at : at + self.batch] for at in range(0, len(order) - self.batch, self.batch)]
        self.taken = 0

    def step(self) -> Step:
        """Take one step with the next batch."""
        rows = self.todo[self.taken % len(self.todo)]
        batch = self.data.batch(rows).to(self.device)
        self.taken += 1
        planned = PlannedBatch(rows, distributed.share_batch(self.batch, self.batch), 0)
        self.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        take_step(self.work, planned, batch)
        self.wait()
        return Step(time.perf_counter() - wall, time.process_time() - cpu)

    def wait(self) -> None:
        """Wait for what a GPU still has to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def end(self) -> End:
        """Measure what else there is; the peak first, as this takes memory too."""
        peak = peak_memory()
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated() / 2**20
        with FlopCounterMode(display=False) as counter:
            self.step()
        return End(self.read(), self.damage(), self.lose(), counter.get_total_flops(), self.product(), peak)

    def read(self) -> float:
        """Median seconds that a batch takes from the shards to the device, by itself."""
        took = []
        for rows in self.todo:
            began = time.perf_counter()
            self.data.batch(rows).to(self.device)
            self.wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    def damage(self) -> float:
        """Median seconds that the shipped model's damage takes for a batch, by itself, on one thread."""
        took = []
        for seed, rows in enumerate(self.todo[: 2 * ROUNDS]):
            batch = self.data.batch(rows).to(self.device)
            self.wait()
            began = time.perf_counter()
            augment(batch, DAMAGE, self.data.pairs.rate, seed)
            self.wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    def product(self) -> float:
        """FLOP a second of a large matrix product; float32 is TF32 there, on NVIDIA's GPUs."""
        size = 8192 if self.device.type == "cuda" else 2048
        kind = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        matrix = torch.randn(size, size, device=self.device, dtype=kind)
        torch.set_float32_matmul_precision("high")
        took = []
        for _ in range(ROUNDS + 1):
            self.wait()
            began = time.perf_counter()
            matrix @ matrix
            self.wait()
            took.append(time.perf_counter() - began)
        torch.set_float32_matmul_precision("highest")
        return 2 * size**3 / min(took)

    def lose(self) -> float:
        """Median seconds of the loss and its gradient, by themselves."""
        batch = self.data.batch(self.todo[0]).to(self.device)
        estimate = self.net(batch, [])[0].detach().requires_grad_()
        took = []
        for _ in range(ROUNDS + 1):
            self.wait()
            began = time.perf_counter()
            self.loss(estimate, batch.original, batch.cutoff, batch.bandwidth).backward()
            self.wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took[1:])


run: Run


def start(folder: Path, batch: int | None, what: Net, loss: str, precision: str, compiled: bool) -> float:
    """Make this process the one that trains so, take a first step, and return its seconds of audio."""
    global run
    torch.set_num_threads(1)
    os.environ["OVERTONE_JOBS"] = "1"  # codecs, too, on one thread
    run = Run(folder, batch, what, loss, precision, compiled)
    run.step()  # the first is slower: libraries choose their kernels, compilers work
    return run.batch * run.data.length / run.data.pairs.rate


def step() -> Step:
    """A step of this process's network."""
    return run.step()


def finish() -> End:
    """What else was measured of this process's network."""
    return run.end()


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, help="segments of a step; by default 16 on a GPU, else 8 and 2")
    parser.add_argument("--to", default="training", metavar="NAME", help="bench/results/NAME.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segment = {"length": 65536, "hop": 65536, "per_track": None}
        pipeline(folder, segment=segment)
        # A process for each, so that each has its own peak; they take steps in turn, never together.
        own = [ProcessPoolExecutor(1, get_context("spawn")) for _ in RUNS]
        audio = [
            pool.submit(start, folder, args.batch, *what).result()
            for pool, what in zip(own, RUNS, strict=True)
        ]
        rounds = [[pool.submit(step).result() for pool in own] for _ in range(ROUNDS)]
        ends = [pool.submit(finish).result() for pool in own]
        for pool in own:
            pool.shutdown()
    rows = []
    for (net, loss, precision, compiled), seconds, steps, end in zip(
        RUNS, audio, zip(*rounds, strict=True), ends, strict=True
    ):
        wall = statistics.median(step.wall for step in steps)
        cpu = statistics.median(step.cpu for step in steps)
        speed = f"{seconds / wall:.2f} | {seconds / cpu:.2f}"
        share = end.flops / wall / end.product
        work = f"{end.flops / wall / 1e9:.0f} | {share:.0%} | {end.loss / wall:.1%}"
        reading = f"{end.read / wall:.2%} | {end.damage / wall:.1%}"
        name = "spectral, as shipped" if isinstance(net, SpectralSettings) else f"U-Net {list(net)}"
        what = f"{name}{', compiled' * compiled} | {loss} | {precision}"
        rows.append(f"| {what} | {seconds:.1f} | {speed} | {work} | {reading} | {end.peak:.0f} |")
    device = choose_device()
    where = torch.cuda.get_device_name() if device.type == "cuda" else "one thread of the processor"
    save(
        args.to,
        f"""# Training throughput

{machine()}

Forward, loss, backward and optimiser of `overtone.training.step` on segments of 65536 samples of the bundled
music, on {where}; *batch* is its seconds of audio. Medians of {ROUNDS} steps after a first one,
the networks taking turns. *Speed* is seconds of audio per second by wall clock; *per CPU s* is the
steadier figure on a shared machine. *GFLOP/s* counts the multiplications and additions of convolutions and
matrix products, forward and backward; *of peak* is that over what one large matrix product in this precision
reaches here (on NVIDIA's GPUs TF32 for float32: PyTorch takes it for convolutions there, not for products).
*Loss* is the loss with its gradient by itself, as a share of a step; so is *reading*, `Segments.batch` to
the device, the shards in the file cache, and *damage*, the shipped model's `train.augment` with its codecs,
on one thread. Training waits for neither as long as both together take less than a step: a thread reads and
damages the next batches while the network works, and codecs use all cores. *MB* is the peak of the process's
memory, on a GPU of PyTorch's there.

| network | loss | kind | batch, s | speed | per CPU s | GFLOP/s | of peak | loss | reading | damage | MB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )


if __name__ == "__main__":
    main()
