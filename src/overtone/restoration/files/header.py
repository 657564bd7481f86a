"""Read what a file's header tells beside its sound: how long it should be, and what its channels are."""

import re
from pathlib import Path
from typing import Any

from overtone.formats import UNKNOWN
from overtone.restoration.files import layouts, riff
from overtone.restoration.files.layouts import Layout
from overtone.restoration.files.mpeg import SLACK
from overtone.restoration.files.pieces import Piece
from overtone.restoration.files.sndfile import SndFile

# libsndfile itself corrects the length of truncated files, and says so in its log only: what is promised and
# what is there, of WAV, AIFF and AU, of W64, and of RF64, which is WAV of more than 4 GiB. Written to a pipe,
# they promise nearly the most that they can, for want of knowing better; the second figure is less.
CORRECTED = (
    (
        r"(?:data|SSND|Data Size) *: (?P<promised>\d+) \(should be (?P<there>\d+)\)",
        0x7FFF0000,
        "bytes of sound",
    ),
    (r"riff : (?P<promised>\d+) \(should be (?P<there>\d+)\)", 1 << 62, "bytes"),
    (r"count (?P<there>\d+) does not match value from 'ds64' chunk of (?P<promised>\d+)", 1 << 62, "samples"),
)


def missing(file: Any, piece: Piece, samples: int) -> str:
    """Say what a piece that has given so many samples per channel lacks; empty if nothing."""
    rate = file.samplerate
    promised, there = file.frames, samples
    if piece.there is not None:
        promised, there = piece.promised or 0, piece.there
    if getattr(file, "cut", False):
        return "it ends inside a packet"
    if there + SLACK < promised < UNKNOWN:
        return f"its header promises {promised / rate:.1f} s, and {there / rate:.1f} s are there"
    for line, placeholder, unit in CORRECTED:
        if corrected := re.search(line, file.extra_info):
            size, rest = int(corrected["promised"]), int(corrected["there"])
            if rest < size < placeholder:
                return f"its header promises {size:,} {unit}, and {rest:,} are there"
    return ""


def channels(path: Path, file: Any) -> tuple[Layout, list[int] | None]:
    """Return the layout of a file, and where each channel of WAV's order lies in what its decoder gives."""
    if not isinstance(file, SndFile):
        return file.layout, None
    usual = Layout(layouts.USUAL.get(file.channels, 0))
    if file.format == "OGG":
        return usual, layouts.from_xiph(file.channels)
    if file.format == "FLAC":
        with path.open("rb") as raw:
            found = re.search(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9A-Fa-f]+)", raw.read(1 << 16))
        mask = int(found[1], 16) if found else 0
        return (Layout(mask) if mask.bit_count() == file.channels else usual), None
    if (chunks := riff.read(path)) and not chunks.big:
        return riff.layout(path, chunks), None
    if file.channels <= 2:
        return usual, None
    from overtone.restoration.files.ffmpeg_formats import speakers

    names = speakers(path)
    return layouts.named(names), layouts.wav_order(names)
