"""Estimate the disk space of the pairs of some tracks, before hours are spent on decoding them."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

import soundfile

from overtone.core import disk_space
from overtone.core.dvc_cache import MOVE_CACHE, find_second_copy
from overtone.core.errors import OvertoneError
from overtone.core.storage import Location, local_copy
from overtone.data.pairs.degradation import DegradeSettings
from overtone.formats import UNKNOWN

SAMPLE = 64
"""Tracks that are opened for the estimate: of MP3 clips that takes some 0.2 s."""

CONTENT = "data/pairs"
ADVICE = (
    "make room and run again; degrade.store: false needs half of it, and OVERTONE_SHARDS names a folder or "
    "an object store elsewhere"
)


def estimate_bytes(tracks: list[tuple[int, Location]], settings: DegradeSettings) -> float:
    """Estimate the bytes of all shards: exact for up to `SAMPLE` tracks, else from evenly spaced ones.

    Only files on this machine are opened; files that libsndfile does not read count as having no sound.
    """
    step = max(1, len(tracks) // SAMPLE)
    opened = [_frames(location, settings) for _, location in tracks[::step]]
    known = [frames for frames in opened if frames is not None]
    if not known:
        return 0.0
    halves = 2 if settings.store else 1
    return 2.0 * halves * sum(known) / len(known) * len(tracks)


def _frames(location: Location, settings: DegradeSettings) -> float | None:
    """Return the samples of a track's pairs at the pairs' rate, None for an object in a store."""
    if isinstance(location, str):
        return None
    try:
        with local_copy(location) as path, soundfile.SoundFile(os.fsencode(path)) as file:
            if file.frames >= UNKNOWN:
                return None
            channels = file.channels if settings.channels == "separate" else 1
            return float(channels * file.frames * settings.rate / file.samplerate)
    except (soundfile.SoundFileError, OvertoneError, OSError):
        return 0.0


def check_disk(
    tracks: list[tuple[int, Location]], settings: DegradeSettings, target: Path, replaced: Path
) -> float:
    """Raise unless the disk of a folder has room for the pairs, and for DVC's copy of them.

    Args:
        tracks: (track_id, location) each.
        settings: the group ``degrade``.
        target: the folder; it or one above it exists.
        replaced: a folder whose files are deleted first: the output that DVC copies.

    Returns:
        The bytes that the pairs need, without a copy.
    """
    need = estimate_bytes(tracks, settings)
    is_output = target == replaced.parent
    while not target.exists():
        target = target.parent
    freed = sum(path.stat().st_size for path in replaced.glob("*")) if replaced.is_dir() else 0
    copy = find_second_copy(target) if is_output else None
    if copy and copy.stat().st_dev == target.stat().st_dev:
        content = f"{CONTENT} with the copy in DVC's cache"
        disk_space.check_free_space(target, 2 * need - freed, content, f"{ADVICE}; {MOVE_CACHE}")
        return need
    disk_space.check_free_space(target, need - freed, CONTENT, ADVICE)
    if copy:
        disk_space.check_free_space(copy, need, f"DVC's copy of {CONTENT}", f"{ADVICE}; {MOVE_CACHE}")
    return need


def naming_full_disk(folder: Path, need: float) -> AbstractContextManager[None]:
    """Turn the error of a disk that is full while pairs are written into one line."""
    return disk_space.naming_full_disk(folder, need, CONTENT, ADVICE)
