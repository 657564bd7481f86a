"""Chapters of podcasts, books and films: read from any format, written as ID3 frames or Vorbis comments.

Sources: ID3v2 Chapter Frame Addendum 1.0; https://wiki.xiph.org/Chapter_Extension for Vorbis comments.
"""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import mutagen
from mutagen import id3

# Chapters that the names CHAPTER000 to CHAPTER999 are enough for.
MOST = 999


class Chapter(NamedTuple):
    """Start and end in seconds, and what it is called."""

    start: float
    end: float
    title: str


def read_chapters(path: Path) -> list[Chapter]:
    """Read the chapters of a file, and the tracks of a cue sheet inside FLAC; none if there are none."""
    import av

    found: list[Chapter] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for chapter in container.chapters():
                tick = float(chapter["time_base"] or 0)
                title = str(chapter["metadata"].get("title", ""))
                found.append(Chapter(chapter["start"] * tick, chapter["end"] * tick, title))
    except (av.FFmpegError, ValueError, OSError):
        return []
    # FFmpeg gives ID3's in no order.
    return sorted(found or _cue_sheet(path))[:MOST]


def _cue_sheet(path: Path) -> list[Chapter]:
    """Read the tracks of the cue sheet of a FLAC; the last of them is its end."""
    with path.open("rb") as raw:
        if raw.read(4) != b"fLaC":
            return []
    try:
        file = mutagen.File(path)
    except mutagen.MutagenError:
        return []
    sheet = getattr(file, "cuesheet", None)
    if not sheet or not file.info.sample_rate:
        return []
    starts = [track.start_offset / file.info.sample_rate for track in sheet.tracks]
    return [
        Chapter(start, end, f"Track {number + 1:02d}")
        for number, (start, end) in enumerate(itertools.pairwise(starts))
    ]


def add_chapters(file: Any, chapters: list[Chapter]) -> None:
    """Add chapters to the tags of a file that mutagen has opened: FLAC, Ogg, MP3 or WAV."""
    if not chapters:
        return
    if isinstance(file.tags, id3.ID3):
        names = [f"ch{number}" for number in range(len(chapters))]
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        file.tags.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=names, sub_frames=[]))
        for name, chapter in zip(names, chapters, strict=True):
            file.tags.add(
                id3.CHAP(
                    element_id=name,
                    start_time=round(1000 * chapter.start),
                    end_time=round(1000 * chapter.end),
                    start_offset=0xFFFFFFFF,
                    end_offset=0xFFFFFFFF,
                    sub_frames=[id3.TIT2(encoding=3, text=[chapter.title])],
                )
            )
        return
    for number, chapter in enumerate(chapters):
        minutes, milliseconds = divmod(round(1000 * chapter.start), 60_000)
        time = f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds / 1000:06.3f}"
        file.tags[f"CHAPTER{number:03d}"] = [time]
        file.tags[f"CHAPTER{number:03d}NAME"] = [chapter.title]
