"""Write a folder of pairs: shards by many workers, and the tables that list them."""

import csv
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from overtone.core import parallel
from overtone.core.progress import report_progress
from overtone.core.storage import Location, is_address
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.pairs.format import INDEX
from overtone.data.preparation.disk_needs import check_disk, naming_full_disk
from overtone.data.preparation.shard_writer import write_settings, write_shard, write_store

Track = tuple[int, Location]


class Written(NamedTuple):
    """The number of pairs, shards and tracks left out, and the frames of all pairs together."""

    pairs: int
    shards: int
    left_out: int
    frames: int


def write_pairs(tracks: list[Track], settings: DegradeSettings, folder: Path, store: str | None) -> Written:
    """Write the pairs of tracks and their tables into a folder; an earlier folder is replaced.

    Args:
        tracks: (track_id, location) each, in the order of the pairs.
        settings: the group ``degrade``.
        folder: of the tables, and of the shards without a store.
        store: the address or absolute path where shards are kept, None for the folder.

    Raises:
        OvertoneError: the disk is full or too small for what the tracks need; a store cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder.parent if store is None else Path(store)
    need = 0.0
    if store is None or not is_address(store):
        need = check_disk(tracks, settings, target, folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    size = settings.tracks_per_shard
    groups = [tracks[start : start + size] for start in range(0, len(tracks), size)]
    to = folder.absolute() if store is None else store
    calls = [(number, group, to, settings) for number, group in enumerate(groups)]
    with naming_full_disk(folder, need):
        written = _write_tables(folder, calls, None if store else folder)
        for part in folder.glob("*.part"):
            part.unlink()  # left by a worker that was killed
        write_settings(folder, settings)
        if store:
            write_store(folder, store)
    return written


def _write_tables(folder: Path, calls: list[tuple[Any, ...]], shared: Path | None) -> Written:
    """Write all shards, and a row for each pair, shard and track left out as soon as it is known."""
    results = parallel.run_all(write_shard, calls, shared)
    with ExitStack() as files:
        # Rows are written as they come: kept to the end, they would be a kilobyte of memory a track.
        index = _open_table(files, folder / "index.csv", INDEX)
        left_out = _open_table(files, folder / "left_out.csv", ("track_id", "reason"))
        shards = _open_table(files, folder / "shards.csv", ("shard", "sha1"))
        pairs = without = frames = 0
        for rows, unusable, *named in report_progress(results, len(calls), "degrade: shard"):
            index.writerows((number, *row.values()) for number, row in enumerate(rows, start=pairs))
            left_out.writerows(row.values() for row in unusable)
            shards.writerow(named)
            pairs, without = pairs + len(rows), without + len(unusable)
            frames += sum(row["samples"] for row in rows)
    return Written(pairs, len(calls), without, frames)


def _open_table(files: ExitStack, path: Path, columns: tuple[str, ...]) -> Any:
    """Open a CSV table for writing, with its heading."""
    file = files.enter_context(path.open("w", newline="", encoding="utf-8"))
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    return table
