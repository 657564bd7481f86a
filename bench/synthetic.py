"""Generate any number of short clips, with tables shaped as FMA's."""

import csv
import json
import os
import zipfile
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from machine import ROOT

DISTINCT = 64  # clips that are really generated; the others are hard links to them

# The 52 columns of FMA's tracks.csv; only a few are read, all have to be passed over.
COLUMNS = {
    "album": "comments date_created date_released engineer favorites id information listens producer tags "
    "title tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id "
    "latitude location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres "
    "genres_all information interest language_code license listens lyricist number publisher tags title",
}
HEAD = [(group, name) for group, names in COLUMNS.items() for name in names.split()]
GENRES = 16
TRACKS_PER_ARTIST = 6.5  # FMA large: 106,574 tracks by 16,341 artists
PROSE = "Recorded on a Tuesday, in a kitchen, with the window open. "


def clips(folder: Path, seconds: float, rate: int = 44100) -> list[Path]:
    """Generate the distinct clips as MP3: a tone, and noise bursts at 8 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    time = np.arange(round(seconds * rate)) / rate
    paths = []
    for number in range(DISTINCT):
        tone = 0.2 * np.sin(2 * np.pi * 110 * 2 ** (number / 12) * time)
        noise = 0.2 * rng.uniform(-1, 1, len(time)) * (np.sin(2 * np.pi * 8 * time) > 0)
        paths.append(folder / f"{number}.mp3")
        soundfile.write(paths[-1], tone + noise, rate)
    return paths


def write_tables(folder: Path, tracks: int) -> None:
    """Write a tracks.csv of 2.4 kB a row and the source.json that goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    # Artists and genres differ in size, as they do.
    artists = (rng.beta(1, 3, tracks) * max(6, tracks / TRACKS_PER_ARTIST)).astype(int)
    with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerows([["", *(group for group, _ in HEAD)], ["", *(name for _, name in HEAD)]])
        table.writerow(["track_id", *("" for _ in HEAD)])
        for track, artist in enumerate(artists.tolist()):
            values = {
                ("album", "information"): 20 * PROSE,
                ("artist", "bio"): 18 * PROSE,
                ("artist", "id"): str(artist),
                ("artist", "name"): f"Artist {artist}",
                ("set", "split"): ("training", "validation", "test")[max(0, track % 10 - 7)],
                ("set", "subset"): "large",
                ("track", "genre_top"): f"Genre {artist % GENRES}",
                ("track", "license"): "CC0",
                ("track", "title"): f"Clip {track}",
            }
            table.writerow([track, *(values.get(column, "") for column in HEAD)])
    (folder / "source.json").write_text(json.dumps({"subset": "large"}))


def name_of(track: int) -> str:
    """Where FMA's archives have a track."""
    return f"{track:06d}"[:3] + f"/{track:06d}.mp3"


def link(made: list[Path], folder: Path, tracks: int) -> None:
    """Lay out so many tracks as FMA's archives are, as hard links."""
    for track in range(tracks):
        path = folder / name_of(track)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(made[track % DISTINCT], path)


def archive(made: list[Path], path: Path, tracks: int) -> None:
    """Write a zip archive like FMA's: a top folder, the clips, and checksums."""
    content = [clip.read_bytes() for clip in made]
    sums = [sha1(clip).hexdigest() for clip in content]
    with zipfile.ZipFile(path, "w") as file:
        for track in range(tracks):
            file.writestr(f"fma_large/{name_of(track)}", content[track % DISTINCT])
        lines = [f"{sums[track % DISTINCT]}  {name_of(track)}\n" for track in range(tracks)]
        file.writestr("fma_large/checksums", "".join(lines))


def workspace(folder: Path, **changes: dict[str, Any]) -> None:
    """Make a folder in which the stages of this checkout run, with some of params.yaml changed."""
    (folder / "data").mkdir(parents=True)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for group, change in changes.items():
        values[group] |= change
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    for name in ("dvc.yaml", "programs.yaml", "src", "stages"):
        (folder / name).symlink_to(ROOT / name)
