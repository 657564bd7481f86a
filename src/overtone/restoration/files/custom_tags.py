"""Tags beyond the usual ones, by whatever name a person or a program gave them."""

import functools
import re
from pathlib import Path
from typing import Any

import mutagen
from mediafile import MediaFile
from mutagen import apev2, asf, id3, mp4

# What is said of the file and not of the music, and what is carried in another way.
LEFT = re.compile(
    r"REPLAYGAIN_|R128_|METADATA_BLOCK_PICTURE|COVERART|WAVEFORMATEXTENSIBLE_CHANNEL_MASK|ITUN(NORM|SMPB|ES)"
    r"|CHAPTER\d{3}|ENCOD|ENCODING|TSSE|TLEN|TENC|TFLT|VENDOR|ACOUSTID|COVER ART|ISMEDIA|WM/(PICTURE|ENC)"
    r"|(MAJOR_BRAND|MINOR_VERSION|COMPATIBLE_BRANDS|CREATION_TIME|DURATION)$"
)
# ID3's frames of text that have a name elsewhere. The others keep their own.
FRAMES = {
    **{"TPE3": "CONDUCTOR", "TMOO": "MOOD", "TOPE": "ORIGINALARTIST", "TOAL": "ORIGINALALBUM"},
    **{"TIT3": "SUBTITLE", "TEXT": "LYRICIST", "TRSN": "RADIOSTATION", "TOWN": "FILEOWNER"},
}
# MP4's atoms of text that have a name elsewhere.
ATOMS = {
    **{"desc": "DESCRIPTION", "ldes": "LONGDESCRIPTION", "catg": "CATEGORY", "keyw": "KEYWORDS"},
    **{"purl": "PODCASTURL", "tvsh": "SHOW", "\xa9nrt": "NARRATOR"},
}
# Bytes of a value that any format holds.
LARGEST = 1 << 16


@functools.cache
def _known() -> frozenset[str]:
    """The names under which the usual tags stand in any format, in capitals."""
    names: set[str] = set()
    for field in MediaFile.fields():
        # mediafile has no public list of them.
        for style in getattr(MediaFile.__dict__.get(field), "_styles", ()):
            for name in (getattr(style, "key", None), getattr(style, "description", None)):
                if isinstance(name, str):
                    names |= {name.upper(), name.rsplit(":", 1)[-1].upper()}
    return frozenset(names)


def read_custom_tags(path: Path) -> dict[str, list[str]]:
    """Read the tags that mediafile does not know, by name in capitals, all values of each."""
    try:
        tags = getattr(mutagen.File(path), "tags", None)
    except Exception:  # mutagen lets through what it stumbles over in a damaged file
        return {}
    found: dict[str, list[str]] = {}
    for name, values in _texts(tags):
        kept = [value for value in values if 0 < len(value.encode(errors="replace")) < LARGEST]
        fits = re.fullmatch(r"[ -<>-}]+", name) and name not in _known() and not LEFT.match(name)
        if kept and fits:
            found.setdefault(name, []).extend(kept)
    return found


def _texts(tags: Any) -> list[tuple[str, list[str]]]:
    """List a file's tags of text by name in capitals."""
    if isinstance(tags, id3.ID3):
        listed = [(frame.desc.upper(), [*map(str, frame.text)]) for frame in tags.getall("TXXX")]
        for frame in tags.values():
            plain = isinstance(frame, id3.TextFrame) and frame.FrameID not in (
                "TXXX",
                *_known(),
                "COMM",
                "USLT",
            )
            if plain and frame.FrameID.startswith("T"):
                listed.append((FRAMES.get(frame.FrameID, frame.FrameID), [*map(str, frame.text)]))
        return listed
    if isinstance(tags, mp4.MP4Tags):
        free = [
            (name.rsplit(":", 1)[-1].upper(), values) for name, values in tags.items() if name[:4] == "----"
        ]
        known = [(ATOMS[name], values) for name, values in tags.items() if name in ATOMS]
        return [
            (name, [bytes(v).decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values])
            for name, values in free + known
        ]
    if isinstance(tags, apev2.APEv2):
        return [(name.upper(), [*value]) for name, value in tags.items() if value.kind == apev2.TEXT]
    if isinstance(tags, asf.ASFTags):
        return [
            (name.upper(), [str(value) for value in values if getattr(value, "TYPE", None) == asf.UNICODE])
            for name, values in tags.as_dict().items()
        ]
    if hasattr(tags, "vendor"):
        return [(name.upper(), values) for name, values in tags.as_dict().items()]
    return []


def add_custom_tags(file: Any, custom: dict[str, list[str]]) -> None:
    """Add tags by name to those of a file that mutagen has opened: FLAC, Ogg, MP3 or WAV."""
    frames = {name: frame for frame, name in FRAMES.items()}
    for name, values in custom.items():
        if not isinstance(file.tags, id3.ID3):
            file.tags[name] = values
        elif (kind := id3.Frames.get(frames.get(name, name))) and issubclass(kind, id3.TextFrame):
            file.tags.add(kind(encoding=3, text=values))
        else:
            file.tags.add(id3.TXXX(encoding=3, desc=name, text=values))
