"""Name the formats that can be written, and the default output of a file."""

from pathlib import Path
from typing import NamedTuple, TypeAlias

from overtone.formats import FILMS

# What writes a format, what writes its samples by bits (None: there is no such choice), most channels.
Format: TypeAlias = tuple[str, dict[int, str] | None, int]

# Suffix -> FFmpeg's format and its encoder by bits: `overtone.restoration.files.film` says why these.
FILM_FORMATS: dict[str, Format] = {
    ".mp4": ("mp4", None, 8),
    ".mov": ("mov", {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_f32le"}, 64),
    ".mkv": ("matroska", {16: "flac", 24: "flac"}, 8),
    ".webm": ("webm", None, 8),
}
OUTPUTS = (".flac", ".wav", ".ogg", ".mp3", *FILM_FORMATS)


class SoundForm(NamedTuple):
    """Describe the sound of a file that is written.

    Attributes:
        rate: in Hz.
        channels: at most as many as the format holds.
        bits: of a sample; without effect where the format has no choice.
        length: samples per channel.
    """

    rate: int
    channels: int
    bits: int
    length: int


def default_target(source: Path) -> Path:
    """``talk.restored.flac`` beside ``talk.mp3``; ``film.restored.mp4`` beside ``film.mp4``.

    A film is what has moving pictures (a cover is none), in a container that can be written again.
    """
    suffix = ".flac"
    if source.suffix.lower() in FILMS:
        # It brings PyAV, which takes a while to load.
        from overtone.restoration.files.film import film_suffix

        suffix = film_suffix(source) or suffix
    return source.with_name(f"{source.stem}.restored{suffix}")
