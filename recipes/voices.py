"""Bring recorded voices into a folder, out of Debian's packages of free games and programs for children.

    python recipes/voices.py FOLDER

bench/quality.py judges the shipped model by them; none was trained on. recipes/voices.csv names them: a row
is a speaker, its path a pattern of files in a package, most of them a word or a sentence. They are joined, in
the order of their names, to a FLAC of a minute at most (mono, 44.1 kHz). Beside them lies each package's
copyright file, which names the licences. Safe to run again: what is there already is kept. Needs curl and
dpkg-deb, and overtone's packages.
"""

import csv
import fnmatch
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile

from overtone.audio import resample

RATE = 44100
MOST = 60 * RATE
# Recordings softer than this hold no voice.
SOFT = 0.01


def recordings(package, pattern):
    """Yield (name, bytes) of a package's files, sorted; a path may go on inside a zip file (.pk3)."""
    archives = [part for part in Path(pattern).parents if part.suffix in (".zip", ".pk3")]
    if archives:
        with zipfile.ZipFile(package / archives[0]) as archive:
            inside = str(Path(pattern).relative_to(archives[0]))
            for name in sorted(fnmatch.filter(archive.namelist(), inside)):
                yield name, archive.read(name)
        return
    names = [str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()]
    for name in sorted(fnmatch.filter(names, pattern)):
        yield name, (package / name).read_bytes()


def voice(package, pattern):
    """A speaker's recordings joined, (time,) at 44.1 kHz; evenly spaced ones if all are over a minute."""
    found, seen = [], set()
    for name, data in recordings(package, pattern):
        if Path(name).suffix not in (".ogg", ".wav") or data in seen:
            continue
        seen.add(data)
        try:
            samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            continue  # of some packages a few files are damaged
        mono = samples.mean(1)
        if rate >= RATE and len(mono) and SOFT < np.abs(mono).max() < np.inf:
            found.append(resample.resample(mono[None], rate, RATE)[0])
    total = sum(map(len, found))
    if total > MOST:
        count = int(len(found) * MOST / total)
        found = [found[place] for place in np.linspace(0, len(found) - 1, count).round().astype(int)]
    return np.concatenate(found)[:MOST]


def main(folder):
    """Bring all voices of the table."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as table:
        rows = sorted(csv.DictReader(table), key=lambda row: row["deb"])
    for deb, group in groupby(rows, key=lambda row: row["deb"]):
        name = deb.split("/")[-1].split("_")[0]
        target = folder / name
        if (target / "copyright.txt").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            package = Path(work, "package.deb")
            url = f"http://deb.debian.org/debian/{deb}"
            subprocess.run(["curl", "-sSfL", "--retry", "3", "-o", package, url], check=True)
            subprocess.run(["dpkg-deb", "-x", package, work], check=True)
            for row in group:
                joined = voice(Path(work), row["path"])
                soundfile.write(target / f"{row['speaker']}.flac", joined.clip(-1, 1), RATE)
                print(f"{row['speaker']}: {len(joined) / RATE:.0f} s", flush=True)
            # The last file: it says that all are there.
            shutil.copyfile(Path(work, "usr/share/doc", name, "copyright"), target / "copyright.txt")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python recipes/voices.py FOLDER")
    main(Path(sys.argv[1]))
