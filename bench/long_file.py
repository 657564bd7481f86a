"""Measure memory and speed of `overtone restore` on three hours: python bench/long_file.py [--model FOLDER].

Writes bench/results/long_file.md. It takes 2 GB of disk in the temporary folder, and half an hour or so;
--minutes makes the long file shorter.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from overtone.models.registry import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
RATE, BAND_RATE, BLOCK = 44100, 16000, 1 << 16
LIMIT_GB = 0.4
# The command, and its peak resident memory in KiB as the last line on standard error.
RUN = (
    "import resource, sys; from overtone.cli.main import main; code = main();"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
)


def clips() -> list[np.ndarray]:
    """The bundled clips at 44.1 kHz, (time, 2), with what is above 8 kHz taken away."""
    made = []
    with zipfile.ZipFile(ROOT / "data/bundle/fma_mini.zip") as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".mp3"):
                continue
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32", always_2d=True)
            low = soxr.resample(samples, rate, BAND_RATE, quality="VHQ")
            wave = soxr.resample(low, BAND_RATE, RATE)
            made.append(np.broadcast_to(wave, (len(wave), 2)))
    return made


def write(path: Path, music: list[np.ndarray], minutes: float) -> int:
    """Write the clips over and over as FLAC, to the minute; returns the number of samples."""
    length = done = round(minutes * 60 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        while done > 0:
            for clip in music:
                for at in range(0, min(len(clip), done), BLOCK):
                    file.write(clip[at : min(at + BLOCK, done)])
                done = max(0, done - len(clip))
    return length


def measure(folder: Path, music: list[np.ndarray], minutes: float, model: Path) -> tuple[str, float]:
    """Restore a file of so many minutes; returns the table's row and the peak memory in GB."""
    source, target = folder / "long.flac", folder / "long.restored.flac"
    length = write(source, music, minutes)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "restore", source, "--model", model, "--json", "--force"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    gigabytes = int(done.stderr.split()[-1]) * 1024 / 1e9
    made = soundfile.info(target).frames
    print(
        f"{minutes:g} minutes: {gigabytes:.2f} GB, {report['speed']:.1f} times real time, {made - length} off"
    )
    row = f"| {minutes:g} min | {gigabytes:.2f} GB | {report['speed']:.1f} | {length:,} | {made:,} |"
    source.unlink()
    target.unlink()
    return row, gigabytes


def main() -> None:
    """Measure a short and a long file; write the table."""
    parser = argparse.ArgumentParser(description="Measure `overtone restore` on a long file.")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="a model's folder")
    parser.add_argument("--minutes", type=float, default=180, help="length of the long file")
    args = parser.parse_args()
    music = clips()
    with tempfile.TemporaryDirectory() as folder:
        short = min(10.0, args.minutes / 2)
        rows = [measure(Path(folder), music, minutes, args.model) for minutes in (short, args.minutes)]
    most = rows[-1][1]
    model = "the shipped model" if args.model == SHIPPED else f"the model in {args.model}"
    table = "\n".join(row for row, _ in rows)
    text = f"""# A long file

`python bench/long_file.py`: stereo FLAC at 44.1 kHz, the bundled clips over and over, band-limited at
8 kHz, restored from disk to disk with {model}.
{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.

| length | peak memory | times real time | samples in | samples out |
| --- | --- | --- | --- | --- |
{table}

The limit is {LIMIT_GB} GB: {"kept" if most < LIMIT_GB else "broken"}.
"""
    (ROOT / "bench/results").mkdir(exist_ok=True)
    (ROOT / "bench/results/long_file.md").write_text(text, encoding="utf-8")
    if most >= LIMIT_GB:
        sys.exit(f"{most:.2f} GB is more than {LIMIT_GB}")


if __name__ == "__main__":
    main()
