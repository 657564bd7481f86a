"""Choose the excerpts of real recordings that bench/quality.py judges by, by a rule alone.

The tables in recipes/ name recordings and their artists. The test set has all artists of the test tables. The
validation set has the artists of the other tables that `held_out` keeps from training: a fifth, by a hash of
their names. Its voices are those of every third such artist, so that they do not outweigh the music.

Of each artist the longest recordings are taken, three by default, and of each recording the louder window
nearest its middle: windows begin at every second, and half of them are the louder ones.
"""

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from overtone.audio import soundfiles

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
# The tables of a set by kind, and of how many artists one is taken.
SETS = {
    "test": {"recordings": ("music_real_test.csv", 1), "voices": ("music_voices_test.csv", 1)},
    "validation": {"recordings": ("music_real.csv", 1), "voices": ("music_voices.csv", 3)},
}
PER_ARTIST = 3


class Recording(NamedTuple):
    """A recording: KIND/ARTIST/PATH, with no further slash in it, and its file."""

    name: str
    file: Path


def held_out(artist: str) -> bool:
    """Say whether an artist of a table that models train on is kept for validation."""
    name = "w" + artist.removeprefix("gcompris-")
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % 5 == 0


def choose(of_set: str, folder: Path, per_artist: int) -> list[Recording]:
    """List the recordings of a set that lie in a folder, as FOLDER/OWNER__NAME/PATH or as FOLDER/PATH.

    Raises:
        SystemExit: none of a table's recordings is there.
    """
    chosen = []
    for kind, (table, every) in SETS[of_set].items():
        with (RECIPES / table).open(encoding="utf-8") as file:
            rows = [(row, _find(row, folder)) for row in csv.DictReader(file)]
        by_artist: dict[str, list[tuple[float, Recording]]] = {}
        for row, path in rows:
            if path is not None:
                name = "/".join((kind, *(row[key].replace("/", "__") for key in ("artist", "path"))))
                by_artist.setdefault(row["artist"], []).append((float(row["seconds"]), Recording(name, path)))
        if not by_artist:
            raise SystemExit(f"no recording of recipes/{table} lies in {folder}; see recipes/music.md")
        artists = [artist for artist in sorted(by_artist) if of_set == "test" or held_out(artist)]
        for artist in artists[::every]:
            longest = sorted(by_artist[artist], key=lambda found: (-found[0], found[1].name))
            chosen += [recording for _, recording in longest[:per_artist]]
    return chosen


def _find(row: dict[str, str], folder: Path) -> Path | None:
    owner, name = row["source"].split("/")[-2:]
    paths = (folder / f"{owner}__{name}" / row["path"], folder / row["path"])
    return next((path for path in paths if path.exists()), None)


def read_excerpt(path: Path, seconds: int) -> tuple[np.ndarray, int]:
    """Read the louder window nearest the middle of a sound file, (channels, time), and its rate."""
    chunks = [(chunk, rate) for chunk, rate, _, _ in soundfiles.read_chunks(path, 60, 0)]
    samples, rate = np.concatenate([chunk for chunk, _ in chunks], axis=1), chunks[0][1]
    first = louder_middle(samples, seconds, rate)
    return samples[:, first : first + seconds * rate], rate


def louder_middle(samples: np.ndarray, seconds: int, rate: int) -> int:
    """Find the sample of (channels, time) at which the louder window nearest the middle begins."""
    whole = samples.shape[1] // rate
    if whole <= seconds:
        return 0
    by_second = samples[:, : whole * rate].reshape(len(samples), whole, rate)
    powers = np.square(by_second).mean(axis=(0, 2), dtype=np.float64)
    windows = np.convolve(powers, np.ones(seconds), mode="valid")
    louder = np.flatnonzero(windows >= np.median(windows))
    return rate * int(louder[np.argmin(abs(louder - (len(windows) - 1) / 2))])
