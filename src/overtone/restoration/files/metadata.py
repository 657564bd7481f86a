"""Carry what a sound file holds besides samples: tags, chapters, layout, and WAV's chunks of positions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutagen

from overtone.restoration.files import layouts, riff
from overtone.restoration.files.chapters import Chapter, add_chapters, read_chapters
from overtone.restoration.files.custom_tags import add_custom_tags, read_custom_tags
from overtone.restoration.files.decode import open_sound
from overtone.restoration.files.film import FilmSound
from overtone.restoration.files.layouts import Layout
from overtone.restoration.files.tags import read_tags, write_tags

# AIFF's chunks of positions, which nothing here writes.
AIFF_CHUNKS = {b"MARK": "markers", b"INST": "loops"}
# Bits of a mask that FLAC has no number of channels for are told in a tag, as FFmpeg and flac do.
FLAC_MASK = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK"


@dataclass
class Metadata:
    """Hold all that a file has besides samples.

    Attributes:
        tags: as of `overtone.restoration.files.tags.read_tags`.
        custom: other tags by name.
        chapters: those of a podcast, book or film.
        chunks: of WAV, by name.
        rate: in Hz, which the positions in the chunks count in.
        layout: of the channels.
        unheld: what no output holds, or a film that was written does not.
        film: the sound's place in the film, if a film is to be written.
    """

    tags: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, list[str]] = field(default_factory=dict)
    chapters: list[Chapter] = field(default_factory=list)
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    rate: int = 0
    layout: Layout = field(default_factory=Layout)
    unheld: list[str] = field(default_factory=list)
    film: FilmSound | None = None

    def has_tags(self) -> bool:
        """Return whether there is anything to write as tags."""
        return bool(self.tags or self.custom or self.chapters)

    def lost(self, suffix: str, channels: int) -> list[str]:
        """Name what a target of a suffix does not hold."""
        names = [*self.unheld]
        if suffix != ".wav":
            names += [riff.CARRIED[name] for name in self.chunks if name in riff.CARRIED]
            if self.layout.ambisonic or (suffix == ".ogg" and not layouts.is_usual(self.layout, channels)):
                names.append(f"the layout {self.layout}")
        return names


def read_metadata(path: Path, track: int | None = None, film: FilmSound | None = None) -> Metadata:
    """Read what a sound file holds besides samples; what does not decode is left out.

    Args:
        path: the file.
        track: number of the sound track, from 1 on, where there are several.
        film: the sound's place in the film, if one is to be written.

    Raises:
        OvertoneError: overtone does not read the file.
    """
    found = Metadata(read_tags(path), read_custom_tags(path), read_chapters(path), film=film)
    if film is not None and film.encoder:
        found.tags["encoder"] = film.encoder
    with open_sound(path, track) as file:
        found.rate, found.layout = file.samplerate, file.layout
    if chunks := riff.read(path):
        found.chunks = riff.read_carried(path, chunks)
        found.unheld = [AIFF_CHUNKS[chunk.name] for chunk in chunks.chunks if chunk.name in AIFF_CHUNKS]
    return found


def write_metadata(path: Path, metadata: Metadata, rate: int, channels: int) -> None:
    """Write metadata to a finished sound file.

    Args:
        path: flac, wav (of less than 4 GiB), ogg or mp3.
        metadata: what is lost of it `Metadata.lost` says.
        rate: of the file in Hz.
        channels: their number.

    Raises:
        OSError: the file cannot be written.
    """
    if metadata.tags:
        write_tags(path, metadata.tags)
    custom = {**metadata.custom}
    layout = metadata.layout
    if path.suffix.lower() == ".flac" and layout.mask and layout.mask != layouts.USUAL.get(channels):
        custom[FLAC_MASK] = [f"0x{layout.mask:04X}"]
    if custom or metadata.chapters:
        try:
            file = mutagen.File(path)
            if file.tags is None:
                file.add_tags()
            add_custom_tags(file, custom)
            add_chapters(file, metadata.chapters)
            file.save()
        except mutagen.MutagenError as error:
            raise OSError(str(error)) from None
    if path.suffix.lower() == ".wav" and metadata.chunks:
        ratio = rate / metadata.rate if metadata.rate else 1.0
        scaled = {name: riff.rescale(name, body, ratio) for name, body in metadata.chunks.items()}
        riff.append_chunks(path, scaled)
