"""Join many short recordings of voices into longer ones, a file for each folder of them.

    python recipes/join_voices.py TABLE FOLDER OUT

TABLE (recipes/music_voices.csv) names, in its column parts, the folders under FOLDER whose files go into
one path of OUT, a FLAC of ten minutes at most at 44.1 kHz. Files at lower rates are left out; between two
lies a fifth of a second of silence. What is there already is kept.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile

from overtone.audio.resample import resample

RATE, LONGEST, PAUSE = 44100, 600, 0.2
SOUNDS = (".ogg", ".wav", ".flac", ".mp3", ".m4a")


def join(files: list[Path]) -> np.ndarray:
    """Samples of all files one behind the other, (time,)."""
    found, seconds = [], 0.0
    for path in files:
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            continue
        if rate < RATE or not len(samples):
            continue
        mid = resample(np.ascontiguousarray(samples.mean(1, dtype=np.float32)[None]), rate, RATE)[0]
        peak = float(np.abs(mid).max())
        if peak < 1e-3:
            continue
        found += [mid * (0.7 / peak), np.zeros(round(PAUSE * RATE), np.float32)]
        seconds += len(mid) / RATE + PAUSE
        if seconds > LONGEST:
            break
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def main() -> None:
    """Join what the table names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    for row in csv.DictReader(asked.table.open(encoding="utf-8")):
        target = asked.out / row["path"]
        if target.exists():
            continue
        files = [
            path
            for part in row["parts"].split("|")
            for path in sorted((asked.folder / part).rglob("*"))
            if path.suffix.lower() in SOUNDS
        ]
        samples = join(files)
        if len(samples) >= 2 * RATE:
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, samples, RATE, subtype="PCM_16")
        print(row["path"], round(len(samples) / RATE, 1), flush=True)


if __name__ == "__main__":
    main()
