"""Tell films from other files, find the sound's place in them, and check what a film that is written holds.

A film has moving pictures, which a cover is not, in the container of MP4 and MOV or of Matroska and WebM.

::

    output   the restored sound is      because
    .mkv     FLAC, 16 or 24 bits        it loses nothing
    .mov     PCM, 16, 24 or 32 bits     it loses nothing, and every editor reads it
    .mp4     AAC, 128 kbit/s a channel  phones and televisions play it, and the added band survives
    .webm    Opus, 160 kbit/s a channel WebM holds Opus and Vorbis alone; 48 kHz, up to 20 kHz

Measured on two restored excerpts of 10 s, equal in both channels: log-spectral distance between the restored
sound and what the film holds of it.

    ======================  ===========  ============  ============
    codec                   8 to 16 kHz  16 to 20 kHz  times real time
    ======================  ===========  ============  ============
    AAC 256 kbit/s, fast    0.09, 0.12   0.09, 0.11    48
    AAC 256 kbit/s, twoloop 0.25, 0.25   0.27, 0.26    14
    AAC 192 kbit/s, fast    0.15, 0.18   2.58, 2.62    38
    Opus 320 kbit/s         0.09, 0.10   0.20, 0.20    58
    Opus 256 kbit/s         0.10, 0.11   0.21, 0.22    44
    ======================  ===========  ============  ============
"""

import contextlib
import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from overtone.core.errors import OvertoneError
from overtone.restoration.files.film_tags import read_encoder
from overtone.restoration.files.formats import FILM_FORMATS

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream

# FFmpeg's names of the containers that hold films, and what a film of a suffix not below is written as.
CONTAINERS = {"mov": ".mp4", "matroska": ".mkv"}
SUFFIXES = {**{suffix: suffix for suffix in FILM_FORMATS}, ".qt": ".mov"}
# Rates in Hz that the encoders take; FLAC and PCM take all.
RATES = {
    ".mp4": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    ".webm": (8000, 12000, 16000, 24000, 48000),
}
# What the sound is written as.
NAMES = {".mp4": "AAC", ".mov": "PCM", ".mkv": "FLAC", ".webm": "Opus"}
REPACK = "make one first, as ffmpeg -i IN -map 0 -c copy OUT.mkv does, or name .flac, .wav, .ogg or .mp3"


@dataclass(frozen=True)
class FilmSound:
    """The sound that is restored, in its film.

    Attributes:
        path: the film.
        stream: number of the track among all streams, from 0 on.
        start: seconds of the film's clock at which the first sample lies.
        codec: FFmpeg's name of its decoder.
        encoder: the tag of the track.
        copied: whether its packets are copied, as those of the pictures are: nothing is added to it.
    """

    path: Path
    stream: int
    start: Fraction
    codec: str
    encoder: str
    copied: bool = False

    def describe(self, target: Path) -> str:
        """Summarize what was done to the film."""
        if self.copied:
            return "all tracks copied"
        return f"written as {NAMES[target.suffix.lower()]}, other tracks copied"


@functools.cache
def held_codecs(suffix: str) -> frozenset[str]:
    """List the codecs that a film of a suffix holds, by FFmpeg's names."""
    import av

    with av.open(io.BytesIO(), "w", format=FILM_FORMATS[suffix][0]) as container:
        return frozenset(container.supported_codecs)


def is_cover(stream: "Stream") -> bool:
    """Return whether a stream of pictures is a cover."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def moving_pictures(container: "InputContainer") -> "list[Stream]":
    """List the streams of moving pictures, those of a container that holds no films as none."""
    if not {*container.format.name.split(",")} & {*CONTAINERS}:
        return []
    return [stream for stream in container.streams.video if not is_cover(stream)]


def film_suffix(path: Path) -> str | None:
    """Return the suffix under which a film is written by default; None if the file is no film."""
    with open_container(path) as container:
        if container is None or not moving_pictures(container) or not container.streams.audio:
            return None
        names = {*container.format.name.split(",")}
        kind = next(suffix for name, suffix in CONTAINERS.items() if name in names)
        own = SUFFIXES.get(path.suffix.lower(), kind)
        return own if (own in (".mkv", ".webm")) == (kind == ".mkv") else kind


def check_film(source: Path, target: Path, track: int | None) -> None:
    """Raise unless a source can be written to a target that is a film; others are not checked.

    A source that cannot be opened is left to what reads the sound, which says why.

    Args:
        source: the file.
        target: of any suffix.
        track: number of the sound track that is restored, from 1 on; None for FFmpeg's choice.
    """
    if target.suffix.lower() not in FILM_FORMATS:
        return
    with open_container(source) as container:
        if container is None:
            return
        if not {*container.format.name.split(",")} & {*CONTAINERS}:
            raise OvertoneError(
                f"{source} is no MP4, MOV, Matroska or WebM, of which films are written: {REPACK}"
            )
        if not moving_pictures(container):
            raise OvertoneError(
                f"{source} has no pictures, and {target} is a film: name .flac, .wav, .ogg or .mp3"
            )
        sounds = container.streams.audio
        numbered = dict(enumerate(sounds, 1))
        chosen = container.streams.best("audio") if track is None else numbered.get(track)
        held = held_codecs(target.suffix.lower())
        for stream in (*moving_pictures(container), *sounds):
            context = stream.codec_context
            if stream is not chosen and (context is None or context.name not in held):
                name = "an unknown codec" if context is None else context.name
                raise OvertoneError(
                    f"{target} does not hold the {stream.type} of {source} ({name}); name .mkv"
                )


def locate(
    path: Path, container: "InputContainer", stream: "AudioStream", start: Fraction
) -> FilmSound | None:
    """Describe the place of a sound track in an open film; None if it is none.

    Args:
        path: of the film.
        container: that is open.
        stream: the sound track.
        start: seconds of the film's clock at which its first sample lies.
    """
    if not moving_pictures(container):
        return None
    return FilmSound(path, stream.index, start, stream.codec_context.name, read_encoder(container, stream))


def place_in_target(source: Path, target: Path, place: FilmSound | None, unchanged: bool) -> FilmSound | None:
    """Return the sound's place in the film that is to be written; None if the target is sound.

    Args:
        source: the film.
        target: of any suffix.
        place: of the sound, once it was read.
        unchanged: whether nothing is done to the sound: its packets are copied if the target holds them.

    Raises:
        OvertoneError: its clock jumps, or it is several films joined together.
    """
    if target.suffix.lower() not in FILM_FORMATS:
        return None
    if place is None:
        raise OvertoneError(
            f"{source} is several films joined together, or its clock jumps: sound and pictures would part; "
            f"{REPACK}"
        )
    return replace(place, copied=unchanged and place.codec in held_codecs(target.suffix.lower()))


@contextmanager
def open_container(path: Path) -> "Iterator[InputContainer | None]":
    """Open a file by FFmpeg, by no other protocol than a file's; None if that cannot."""
    import av

    from overtone.restoration.files.ffmpeg_formats import FORMATS

    with contextlib.ExitStack() as stack:
        container: InputContainer | None = None
        # A pipe could be read once only.
        with contextlib.suppress(av.FFmpegError, ValueError, OSError):
            if path.is_file():
                container = av.open(
                    stack.enter_context(path.open("rb")),
                    "r",
                    container_options={"format_whitelist": ",".join(sorted(FORMATS))},
                    metadata_errors="replace",
                )
                stack.enter_context(container)
        yield container
