"""Measure preparation from MP3 to segments: audio seconds per second and core, against its two main parts.

python bench/preparation.py (2 to 4 minutes) -> bench/results/preparation.md
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import soundfile
import torch
from machine import machine, peak_memory, pipeline, save
from torchaudio.functional import resample

from overtone.audio.bandwidth import music_end
from overtone.core import parallel, params
from overtone.data.pairs.degradation import DegradeSettings, lowpass, sections
from overtone.data.preparation.shard_writer import write_shard

ROUNDS = 5
WHOLE, LIMIT = "`write_shard`, all of it", "limit: decoding and resampling alone"
Tracks = list[tuple[int, Path]]


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def shards(tracks: Tracks, folder: Path, settings: DegradeSettings) -> list[tuple[Any, ...]]:
    """The calls of `write_shard` that the degrade stage makes."""
    size = settings.tracks_per_shard
    return [(at // size, tracks[at : at + size], folder, settings) for at in range(0, len(tracks), size)]


def spent(*call: Any) -> float:
    """Processor seconds of one call of `write_shard`, in whatever process it runs."""
    return timed(lambda: write_shard(*call))[1]


def worker(tracks: Tracks, folder: Path, settings: DegradeSettings) -> float:
    """Write the tracks as a worker does, and return this process's peak memory in MB."""
    for call in shards(tracks, folder, settings):
        write_shard(*call)
    return peak_memory()


def one_core(tracks: Tracks, folder: Path, settings: DegradeSettings) -> dict[str, tuple[float, float]]:
    """Median wall-clock and processor seconds of each part and of the whole, all tracks, interleaved."""
    whole = [soundfile.read(path, dtype="float32", always_2d=True)[0] for _, path in tracks]
    mono = [torch.from_numpy(samples.mean(1))[None] for samples in whole]
    low, rate, sos = settings.low_rate, settings.rate, sections(settings)
    work: dict[str, Callable[[], object]] = {
        "MP3 decoding": lambda: [soundfile.read(path, dtype="float32") for _, path in tracks],
        "resampling down and up": lambda: [resample(resample(x, rate, low), low, rate) for x in mono],
        "low-pass": lambda: [lowpass(x, sos, settings.phase) for x in mono],
        "measuring where the music ends": lambda: [music_end(x.numpy(), rate) for x in mono],
        WHOLE: lambda: [write_shard(*call) for call in shards(tracks, folder, settings)],
    }
    rounds = [{name: timed(function) for name, function in work.items()} for _ in range(ROUNDS)]
    middle = statistics.median
    return {name: (middle(r[name][0] for r in rounds), middle(r[name][1] for r in rounds)) for name in work}


def main() -> None:
    """Measure and write the results."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline(folder, ("download_fma",))
        settings = params.read("degrade", DegradeSettings, folder / "params.yaml")
        paths = sorted((folder / "data/fma").glob("*/*.mp3"))
        many = [(number, paths[number % len(paths)]) for number in range(96)]
        seconds = sum(soundfile.info(path).duration for path in paths)
        hour = folder / "hour.flac"
        with soundfile.SoundFile(hour, "w", 44100, 2) as file:
            for number in range(120):
                file.write(soundfile.read(paths[number % 4], dtype="float32")[0])

        alone = one_core(many[: len(paths)], folder, settings)
        cores = []
        calls = shards(many, folder, settings)
        for _ in range(3):
            began = time.perf_counter()
            by_one = sum(spent(*call) for call in calls)
            halfway = time.perf_counter()
            by_all = sum(parallel.run_all(spent, calls))
            cores.append((halfway - began, time.perf_counter() - halfway, by_one, by_all))
        memory = []
        loads = {f"{count} clips of 30 s": many[:count] for count in (0, 6, 12, 24, 96)}
        for label, tracks in (loads | {"1 file of 1 hour (FLAC)": [(0, hour)]}).items():
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                peak = fresh.submit(worker, tracks, folder, settings).result()
            memory.append(f"| {label} | {peak:.0f} |")

    both = [alone["MP3 decoding"], alone["resampling down and up"]]
    alone[LIMIT] = (sum(wall for wall, _ in both), sum(cpu for _, cpu in both))
    parts = [f"| {part} | {seconds / s[0]:.0f} | {seconds / s[1]:.0f} |" for part, s in alone.items()]
    ratio = [limit / took for limit, took in zip(alone[LIMIT], alone[WHOLE], strict=True)]
    (cold_one, cold_all, *_), *warm = cores
    warm_one, warm_all, cpu_one, cpu_all = (statistics.median(column) for column in zip(*warm, strict=True))
    save(
        "preparation",
        f"""# From MP3 to segments

{machine()}

## One process, one thread

{len(paths)} clips, {seconds / 60:.1f} minutes, most of it stereo at 44.1 kHz; seconds of audio per second.
Medians of {ROUNDS} interleaved rounds; on a shared machine processor time is the better figure.

| part | by wall clock | by processor time |
| --- | ---: | ---: |
{chr(10).join(parts)}

The whole reaches {ratio[0]:.2f} of the limit by wall clock, **{ratio[1]:.2f} by processor time**. The target
is 150 times real time.

## All cores

{len(many)} clips in {len(calls)} shards, {parallel.worker_count()} workers, as the degrade stage does it.
Where
other work takes the cores, the last row says what they cost and how much faster they are on idle ones.

| | one process, s | all cores, s | speed-up |
| --- | ---: | ---: | ---: |
| first call, with the start of the workers | {cold_one:.1f} | {cold_all:.1f} | {cold_one / cold_all:.2f} |
| later calls, median of {len(warm)} | {warm_one:.1f} | {warm_all:.1f} | {warm_one / warm_all:.2f} |
| their processor time | {cpu_one:.1f} | {cpu_all:.1f} | {cpu_one / cpu_all * parallel.worker_count():.2f} |

## Peak memory of a worker

A fresh process each. The target is under 1 GB, whatever the number of tracks.

| tracks | MB |
| --- | ---: |
{chr(10).join(memory)}
""",
    )


if __name__ == "__main__":
    main()
