"""Decode every selected track once and write pairs of original and degraded samples: data/pairs/."""

import shutil
from functools import partial
from pathlib import Path

import pandas as pd

from overtone import parallel, params
from overtone.degrade import DegradeSettings
from overtone.places import place
from overtone.shards import INDEX, write_settings, write_shard
from stages import run

SOURCE, FOLDER = Path("data/fma"), Path("data/pairs")
say = partial(print, flush=True)


def main() -> None:
    """Run the stage."""
    settings = params.read("degrade", DegradeSettings)
    subset = pd.read_csv("data/subset.csv", index_col="track_id")
    tracks = [
        (track_id, place(SOURCE, path))
        for track_id, path in zip(subset.index.tolist(), subset["path"], strict=True)
    ]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    size, folder = settings.tracks_per_shard, FOLDER.absolute()
    calls = [(n, tracks[n * size : (n + 1) * size], folder, settings) for n in range(-(-len(tracks) // size))]
    made = parallel.each(write_shard, calls, folder)
    shards = list(parallel.progress(made, len(calls), "degrade: shard", say))
    for part in FOLDER.glob("*.part"):
        part.unlink()  # left by a worker that was killed
    index = pd.DataFrame([row for rows, *_ in shards for row in rows], columns=INDEX[1:])
    index.to_csv(FOLDER / "index.csv", index_label=INDEX[0])
    left_out = pd.DataFrame([row for _, rows, *_ in shards for row in rows], columns=["track_id", "reason"])
    left_out.to_csv(FOLDER / "left_out.csv", index=False)
    names = pd.DataFrame([shard[2:] for shard in shards], columns=["shard", "sha1"])
    names.to_csv(FOLDER / "shards.csv", index=False)
    write_settings(FOLDER, settings)
    hours = index["samples"].sum() / settings.rate / 3600
    print(f"{len(index)} pairs, {hours:.2f} h, in {len(shards)} shards; {len(left_out)} tracks left out")


if __name__ == "__main__":
    run(main)
