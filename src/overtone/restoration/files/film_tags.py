"""Carry the tags of a film and of its tracks, and say in them that the sound was restored.

The tag ``encoder`` of the restored track says so in Matroska and WebM. MP4 and MOV have no tags of tracks: it
is that of the film there, or ENCODER_KEY where tags have keys, as QuickTime's do: FFmpeg writes ``encoder``
itself.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mutagen
from mutagen.mp4 import MP4, MP4Cover

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

ENCODER_KEY = "overtone.encoder"
# Of the file and not of the film: FFmpeg writes them itself.
OF_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}
# Of the packets that are replaced, as mkvmerge and FFmpeg count them.
OF_PACKETS = ("bps", "duration", "number_of_", "_statistics_", "encoder", "source_id")
# The length of the sound by iTunes, which is that of other packets.
GAPLESS = "----:com.apple.iTunes:iTunSMPB"


def has_keys(container: "InputContainer", suffix: str) -> bool:
    """Return whether tags are written with keys: in MOV, and in MP4 where the source's are, as of phones."""
    return suffix == ".mov" or (suffix == ".mp4" and any("." in name for name in container.metadata))


def film_tags(container: "InputContainer", suffix: str, encoder: str) -> dict[str, str]:
    """Return the tags of a film to be written, by FFmpeg's names."""
    tags = {name: value for name, value in container.metadata.items() if name.lower() not in OF_FILE}
    if encoder and has_keys(container, suffix):
        tags[ENCODER_KEY] = encoder
    return tags


def track_tags(stream: "Stream", encoder: str | None) -> dict[str, str]:
    """Return the tags of a track to be written.

    Args:
        stream: the source's.
        encoder: of a restored track; None where the packets are copied.
    """
    tags = dict(stream.metadata)
    # MP4's demultiplexer calls it a name, its multiplexer a title.
    if name := tags.pop("name", ""):
        tags.setdefault("title", name)
    if encoder is None:
        return tags
    kept = {name: value for name, value in tags.items() if not name.lower().startswith(OF_PACKETS)}
    return kept | {"encoder": encoder}


def read_encoder(container: "InputContainer", stream: "Stream") -> str:
    """Return what the tags of a track, or of its film, name as its encoder."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return container.metadata.get(ENCODER_KEY, "") or tags.get("encoder", "")


def image_kind(data: bytes) -> str:
    """Tell PNG from JPEG, the kinds of covers."""
    return "png" if data.startswith(b"\x89PNG") else "jpeg"


def write_mp4_tags(path: Path, source: Path, encoder: str, covers: list[bytes]) -> None:
    """Write the tags of a finished MP4: all of the source's if it is one, an encoder, and covers.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        file: Any = MP4(path)
        if file.tags is None:
            file.add_tags()
        # What does not decode is left out, as for sound.
        with contextlib.suppress(Exception):
            file.tags.update(MP4(source).tags or {})
        file.tags.pop(GAPLESS, None)
        if covers and "covr" not in file.tags:
            kinds = {"png": MP4Cover.FORMAT_PNG, "jpeg": MP4Cover.FORMAT_JPEG}
            file.tags["covr"] = [MP4Cover(data, kinds[image_kind(data)]) for data in covers]
        if encoder:
            file.tags["\xa9too"] = [encoder]
        file.save()
    except mutagen.MutagenError as error:
        raise OSError(str(error)) from None
