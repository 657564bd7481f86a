"""Files per second by `overtone restore --jobs 1` and more: python bench/jobs.py [--minutes M] [--to jobs]

Writes bench/results/jobs.md. 10 minutes on two cores; runs with 1, 2, 4 ... files at once, up to the number
of processors, are made in turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import long_file
import numpy as np
import soundfile
from machine import ROOT, machine, save

RATE, ROUNDS = 44100, 3
# Files for each processor, so that all are at work most of the time.
FILES = 4


def write_files(folder: Path, channels: int, count: int, minutes: float) -> list[Path]:
    """Write different stretches of music that ends at 8 kHz as MP3."""
    music = np.concatenate(long_file.clips())[:, :channels]
    length, paths = round(minutes * 60 * RATE), []
    for number in range(count):
        start = number * length // 3 % max(1, len(music) - length)
        paths.append(folder / f"{channels}-{number}.mp3")
        soundfile.write(paths[-1], np.resize(music[start : start + length], (length, channels)), RATE)
    return paths


def restore(paths: list[Path], target: Path, jobs: int) -> float:
    """Restore files by the command; return the seconds that it took. With no jobs, one thread does it all."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    environment.pop("OMP_NUM_THREADS", None)
    if not jobs:
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "overtone", "restore", *paths, "-o", f"{target}/", "--force"]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--jobs", str(max(1, jobs))], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Measure `overtone restore --jobs`.")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of a file")
    parser.add_argument("--to", default="jobs", metavar="NAME", help="of the results")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    counts = sorted({0, 1, cores, *(2**power for power in range(1, cores.bit_length()) if 2**power < cores)})
    rows = []
    with tempfile.TemporaryDirectory(prefix="overtone-jobs-") as name:
        for channels, label in ((1, "mono"), (2, "stereo")):
            paths = write_files(Path(name), channels, FILES * cores, args.minutes)
            restore(paths[:1], Path(name, "out"), 1)  # so that all programs and files are in memory
            taken: dict[int, list[float]] = {count: [] for count in counts}
            for _ in range(ROUNDS):
                for count in counts:
                    taken[count].append(restore(paths, Path(name, "out"), count))
                    print(label, count, f"{taken[count][-1]:.1f} s", flush=True)
            for count in counts:
                ratios = [one / many for one, many in zip(taken[0], taken[count], strict=True)]
                seconds = statistics.median(taken[count])
                rows.append(
                    f"| {label} | {count or '1, by one thread'} | {seconds:.1f} | "
                    f"{60 * len(paths) / seconds:.1f} | "
                    f"{len(paths) * args.minutes * 60 / seconds:.0f} | {statistics.median(ratios):.2f} |"
                )
    save(
        args.to,
        f"""# Several files at once

{machine()}

`python bench/jobs.py`: {FILES * cores} MP3 of {args.minutes:g} min at 44.1 kHz that end at 8 kHz, restored
to FLAC by `overtone restore` with so many files at once (`--jobs`), the start of the command and of its
processes included; medians of {ROUNDS} rounds. A file alone uses all processors that it can: scaling is
against one file by one thread.

| | files at once | seconds | files per minute | times real time | times one thread |
| --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )


if __name__ == "__main__":
    main()
