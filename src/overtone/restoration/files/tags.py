"""Carry title, artist, cover and other tags from a sound file to another, whatever their formats.

mediafile knows each format's own names for them, and mutagen below it writes them without touching the sound.
"""

import contextlib
import logging
import re
from pathlib import Path
from typing import Any

from mediafile import (
    ASFStorageStyle,
    ListMediaField,
    ListStorageStyle,
    MediaFile,
    MP3ListStorageStyle,
    MP4ListStorageStyle,
    UnreadableFileError,
)

from overtone.restoration.files.decode import open_sound

# Its faults are reported by overtone, or, in reading, leave out a tag.
logging.getLogger("mediafile").addHandler(logging.NullHandler())

# Fields of which mediafile reads the first value alone: all of them, by our name for the list.
SEVERAL = {
    "all_titles": ("TIT2", "\xa9nam", "TITLE", "Title"),
    "all_artists": ("TPE1", "\xa9ART", "ARTIST", "Author"),
    "all_albums": ("TALB", "\xa9alb", "ALBUM", "WM/AlbumTitle"),
    "all_albumartists": ("TPE2", "aART", "ALBUMARTIST", "WM/AlbumArtist"),
}
for _name, (_id3, _mp4, _comment, _asf) in SEVERAL.items():
    MediaFile.add_field(
        _name,
        ListMediaField(
            MP3ListStorageStyle(_id3),
            MP4ListStorageStyle(_mp4),
            ListStorageStyle(_comment),
            ASFStorageStyle(_asf),
        ),
    )

# How loud the source is, and what only repeats another tag: a date of day, month and year, which has a day
# even where the tag has a year alone, and the first picture.
LEFT = {
    "art",
    "date",
    "original_date",
    "r128_album_gain",
    "r128_track_gain",
    "rg_album_gain",
    "rg_album_peak",
    "rg_track_gain",
    "rg_track_peak",
}
# What libsndfile and FFmpeg read and mediafile does not, such as text chunks of WAV, by mediafile's names.
CHUNKS = {
    "album": "album",
    "artist": "artist",
    "comment": "comments",
    "copyright": "copyright",
    "genre": "genre",
    "title": "title",
}
# Those of them that hold a number among other things, such as 2001-05-01 and 3/9.
NUMBERS = {"date": ("year", r"\d{4}"), "track": ("track", r"\d+"), "tracknumber": ("track", r"\d+")}
# Bytes of a picture: FLAC holds less than 16 MiB, its description and the like included.
LARGEST = (1 << 24) - (1 << 16)
# Bytes of all text, which FLAC holds less than 16 MiB of as well, some of it under up to four names.
MOST_TEXT = LARGEST // 4


def read_tags(path: Path) -> dict[str, Any]:
    """Read a sound file's tags by mediafile's names of fields; empty if there are none.

    Tags that do not decode, or are larger than FLAC holds, are left out: the sound is what matters.

    Args:
        path: a file that `overtone.restoration.files.decode` reads.

    Raises:
        OvertoneError: it is not.
    """
    tags: dict[str, Any] = {}
    with path.open("rb") as raw:
        try:
            found = MediaFile(raw)
        except UnreadableFileError:
            found = None
        for name in MediaFile.fields() if found else ():
            # mediafile lets through whatever its decoders stumble over in a damaged field.
            with contextlib.suppress(Exception):
                value = getattr(found, name) if name not in LEFT else None
                # One value of several that there may be is in the usual field.
                if value and (name not in SEVERAL or len(value) > 1):
                    tags[name] = value
    with open_sound(path) as file:
        for name, value in file.copy_metadata().items():
            if name in CHUNKS:
                tags.setdefault(CHUNKS[name], value)
            elif name in NUMBERS:
                field, form = NUMBERS[name]
                if number := re.search(form, value):
                    tags.setdefault(field, int(number[0]))
    # ID3 holds addresses in Latin-1.
    if not tags.get("url", "").isascii():
        del tags["url"]
    pictures = tags.pop("images", [])
    room = MOST_TEXT
    for name, value in list(tags.items()):
        size = len(str(value).encode(errors="replace"))
        if size <= room:
            room -= size
        else:
            del tags[name]
    if fit := [picture for picture in pictures if picture.mime_type and len(picture.data) < LARGEST]:
        tags["images"] = fit
    return tags


def write_tags(path: Path, tags: dict[str, Any]) -> None:
    """Write tags to a finished sound file, in its format's way (WAV: an ID3 chunk behind the sound).

    Lists of several values are written last, over the first of them alone.

    Args:
        path: flac, wav (of less than 4 GiB), ogg or mp3.
        tags: as of `read_tags`.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        file = MediaFile(path)
        file.update(tags)
        file.update({name: tags[name] for name in SEVERAL if name in tags})
        file.save()
    except UnreadableFileError as error:
        raise OSError(str(error)) from None
