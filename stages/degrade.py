"""Decode every selected track once and write pairs of original and degraded samples: data/pairs/.

With ``OVERTONE_SHARDS`` the samples go to that object store or folder, and only the tables to data/pairs/.
"""

import csv
import os
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from overtone.core import parallel, params
from overtone.core.storage import locate
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.pairs.format import INDEX
from overtone.data.preparation.shard_writer import write_settings, write_shard, write_store
from stages import run

SOURCE, FOLDER = Path("data/fma"), Path("data/pairs")
say = partial(print, flush=True)


def main() -> None:
    """Run the stage."""
    settings = params.read("degrade", DegradeSettings)
    subset = pd.read_csv("data/subset.csv", index_col="track_id", usecols=["track_id", "path"])
    tracks = [
        (track_id, locate(SOURCE, path))
        for track_id, path in zip(subset.index.tolist(), subset["path"], strict=True)
    ]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    asked, folder = os.environ.get("OVERTONE_SHARDS"), FOLDER.absolute()
    store = str(locate(Path(), asked)) if asked else None
    size = settings.tracks_per_shard
    calls = [
        (n, tracks[n * size : (n + 1) * size], store or folder, settings)
        for n in range(-(-len(tracks) // size))
    ]
    made = parallel.run_all(write_shard, calls, None if store else folder)
    with ExitStack() as files:
        # Row by row as they come: held to the end, they would be a kilobyte of memory a track.
        index = _table(files, "index.csv", INDEX)
        left_out = _table(files, "left_out.csv", ("track_id", "reason"))
        shards = _table(files, "shards.csv", ("shard", "sha1"))
        pairs = without = frames = 0
        for rows, unusable, *named in parallel.report_progress(made, len(calls), "degrade: shard", say):
            index.writerows((number, *row.values()) for number, row in enumerate(rows, start=pairs))
            left_out.writerows(row.values() for row in unusable)
            shards.writerow(named)
            pairs, without = pairs + len(rows), without + len(unusable)
            frames += sum(row["samples"] for row in rows)
    for part in FOLDER.glob("*.part"):
        part.unlink()  # left by a worker that was killed
    write_settings(FOLDER, settings)
    if store:
        write_store(FOLDER, store)
    hours = frames / settings.rate / 3600
    where = f" at {store}" if store else ""
    print(f"{pairs} pairs, {hours:.2f} h, in {len(calls)} shards{where}; {without} tracks left out")


def _table(files: ExitStack, name: str, columns: tuple[str, ...]) -> Any:
    """A writer of one of the tables, which has its heading."""
    file = files.enter_context((FOLDER / name).open("w", newline="", encoding="utf-8"))
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    return table


if __name__ == "__main__":
    run(main)
