"""Walk the chunks of WAV, RF64 and AIFF: their true sizes, their layout, and what else they say.

A recorder that loses its power leaves a header that tells less than there is: it writes the size when it
stops, or now and then. What follows the data chunk is then sound, and no chunk.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from overtone.restoration.files.layouts import Layout

# The second half of KSDATAFORMAT_SUBTYPE_AMBISONIC_B_FORMAT_PCM (1) and _IEEE_FLOAT (3).
AMBISONIC = bytes.fromhex("2107d3118644c8c1ca000000")
EXTENSIBLE = 0xFFFE
# Bytes behind the data that are sound if they are nothing else; fewer are some writer's padding.
LEAST_REST = 1024
# Chunks of text or of positions that another WAV can hold as well, and what the line calls them.
CARRIED = {
    b"bext": "broadcast time reference",
    b"cue ": "cue points",
    b"smpl": "loops",
    b"iXML": "iXML",
    b"axml": "axml",
    b"acid": "acid loop",
    b"inst": "instrument",
}
LARGEST_CHUNK = 1 << 24


class Chunk(NamedTuple):
    """A chunk's name, the first byte of its body, and the bytes of that by its header."""

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class Riff:
    """The chunks of a file, up to the first that is none, and the file's size."""

    chunks: list[Chunk]
    size: int
    big: bool
    wide: bool

    def find(self, name: bytes) -> Chunk | None:
        """Return the first chunk of a name, if there is one."""
        return next((chunk for chunk in self.chunks if chunk.name == name), None)


class Repair(NamedTuple):
    """Correct a header that is wrong: bytes by their offset; seconds by the header, and in fact."""

    patches: dict[int, bytes]
    promised: float
    there: float


def read(path: Path) -> Riff | None:
    """Walk a file's chunks; None if it is neither WAV, RF64 nor AIFF."""
    with path.open("rb") as raw:
        head, size = raw.read(12), os.fstat(raw.fileno()).st_size
        if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            order = ">"
        elif head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
            order = "<"
        else:
            return None
        wide = head[:4] in (b"RF64", b"BW64")
        chunks: list[Chunk] = []
        at, long_data = 12, 0
        while len(start := _at(raw, at, 8)) == 8 and _is_name(start[:4]):
            name, length = start[:4], struct.unpack(f"{order}I", start[4:])[0]
            if name == b"ds64":
                long_data = struct.unpack("<Q", _at(raw, at + 16, 8).ljust(8, b"\0"))[0]
            if name == b"data" and wide and length == 0xFFFFFFFF:
                length = long_data
            chunks.append(Chunk(name, at + 8, length))
            at += 8 + length + length % 2
    return Riff(chunks, size, order == ">", wide)


def sound_end(found: Riff) -> int:
    """Return the byte behind the sound; 0 if there is none."""
    sound = found.find(b"SSND" if found.big else b"data")
    return sound.start + sound.size if sound else 0


def sound_sizes(found: Riff) -> list[int]:
    """Return the bytes of each chunk of sound that is not empty; more than one is against the format."""
    name = b"SSND" if found.big else b"data"
    return [chunk.size for chunk in found.chunks if chunk.name == name and chunk.size]


def repair(path: Path, found: Riff) -> Repair | None:
    """Return what a header that tells less than there is must say; None if it is right, or tells more."""
    sound = found.find(b"SSND" if found.big else b"data")
    shape = found.find(b"COMM" if found.big else b"fmt ")
    if sound is None or shape is None:
        return None
    with path.open("rb") as raw:
        body = _at(raw, shape.start, 18)
        if len(body) < 16 or not _is_sound(raw, sound, found.size):
            return None
    there = found.size - sound.start
    if found.big:
        channels, _, bits = struct.unpack(">hIh", body[:8])
        frame, rate = channels * -(-bits // 8), _extended(body[8:18])
        frames = max(0, there - 8) // frame if frame > 0 else 0
        patches = {4: struct.pack(">I", min(found.size - 8, 0xFFFFFFFF))}
        patches[sound.start - 4] = struct.pack(">I", min(8 + frames * frame, 0xFFFFFFFF))
        patches[shape.start + 2] = struct.pack(">I", min(frames, 0xFFFFFFFF))
        promised = max(0, sound.size - 8)
    else:
        rate, frame = struct.unpack("<4xI4xH2x", body[:16])
        frames = there // frame if frame else 0
        size = frames * frame
        patches = {4: struct.pack("<I", min(found.size - 8, 0xFFFFFFFF))}
        patches[sound.start - 4] = struct.pack("<I", min(size, 0xFFFFFFFF))
        if found.wide and (long := found.find(b"ds64")):
            patches[long.start] = struct.pack("<QQQ", found.size - 8, size, frames)
            patches[4] = patches[sound.start - 4] = b"\xff" * 4
        promised = sound.size
    if not frames or not rate:
        return None
    return Repair(patches, promised / frame / rate, frames / rate)


def layout(path: Path, found: Riff) -> Layout:
    """Read which speakers the channels of a WAV are for; unknown if it does not say."""
    shape = found.find(b"fmt ")
    if shape is None or shape.size < 40:
        return Layout()
    with path.open("rb") as raw:
        body = _at(raw, shape.start, 40)
    if len(body) < 40 or struct.unpack("<H", body[:2])[0] != EXTENSIBLE:
        return Layout()
    if body[28:40] == AMBISONIC:
        return Layout(0, True)
    mask = struct.unpack("<I", body[20:24])[0] & 0x3FFFF
    return Layout(mask if mask.bit_count() == struct.unpack("<H", body[2:4])[0] else 0)


def write_layout(path: Path, wanted: Layout) -> None:
    """Set the speakers of a WAV whose header is of the extensible kind."""
    found = read(path)
    shape = found.find(b"fmt ") if found else None
    if shape is None or shape.size < 40:
        return
    with path.open("r+b") as raw:
        raw.seek(shape.start + 20)
        raw.write(struct.pack("<I", wanted.mask))
        if wanted.ambisonic:
            raw.seek(shape.start + 28)
            raw.write(AMBISONIC)


def read_carried(path: Path, found: Riff) -> dict[bytes, bytes]:
    """Read the chunks that another WAV can hold as well, and lists of labels beside their cue points."""
    bodies: dict[bytes, bytes] = {}
    with path.open("rb") as raw:
        for name, start, size in found.chunks:
            if size > LARGEST_CHUNK:
                continue
            if name in CARRIED or (name == b"LIST" and _at(raw, start, 4) == b"adtl"):
                bodies[name] = _at(raw, start, size)
    return bodies


def append_chunks(path: Path, bodies: dict[bytes, bytes]) -> None:
    """Write chunks behind those of a finished WAV, and its new size into its header.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b") as raw:
        raw.seek(0, os.SEEK_END)
        if raw.tell() % 2:
            raw.write(b"\0")
        for name, body in bodies.items():
            raw.write(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
        size = raw.tell()
        raw.seek(4)
        raw.write(struct.pack("<I", size - 8))


def rescale(name: bytes, body: bytes, ratio: float) -> bytes:
    """Bring the positions of a chunk, which count samples, to another sample rate.

    Args:
        name: ``bext``, ``cue `` or ``smpl``; the body of another chunk is returned as it is.
        body: the chunk's.
        ratio: the new rate by the old.
    """
    data = bytearray(body)

    def scale(offset: int, form: str) -> None:
        if offset + struct.calcsize(form) <= len(data):
            value = round(struct.unpack_from(form, data, offset)[0] * ratio)
            struct.pack_into(form, data, offset, min(value, 256 ** struct.calcsize(form) - 1))

    if name == b"bext":
        scale(338, "<Q")
    elif name == b"cue ":
        for point in range(4, len(data) - 23, 24):
            scale(point + 4, "<I")
            scale(point + 20, "<I")
    elif name == b"smpl":
        if len(data) >= 12:
            struct.pack_into("<I", data, 8, round(struct.unpack_from("<I", data, 8)[0] / ratio))
        for loop in range(36, len(data) - 23, 24):
            scale(loop + 8, "<I")
            scale(loop + 12, "<I")
    return bytes(data)


def _is_sound(raw: BinaryIO, sound: Chunk, size: int) -> bool:
    """Return whether more sound follows a chunk of sound: no chunk, no tag, no padding."""
    end = sound.start + sound.size
    if size - end < LEAST_REST:
        return False
    for at in (end, end + sound.size % 2):
        head = _at(raw, at, 12)
        length = min(int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
        if _is_name(head[:4]) and at + 8 + length <= size + 1:
            return False
        if re.match(rb"ID3|TAG|APETAGEX|RIFF|RF64|BW64|FORM|LIST|JUNK|id3 ", head):
            return False
    raw.seek(end)
    return any(any(block) for block in iter(lambda: raw.read(1 << 20), b""))


def _is_name(name: bytes) -> bool:
    return re.fullmatch(rb"[A-Za-z0-9_(][ -~]{3}", name) is not None


def _at(raw: BinaryIO, offset: int, size: int) -> bytes:
    raw.seek(offset)
    return raw.read(size)


def _extended(data: bytes) -> float:
    """Read a rate as AIFF writes it: 80 bits, of which the exponent has 15."""
    exponent, mantissa = struct.unpack(">HQ", data.ljust(10, b"\0"))
    return float(mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)) if exponent & 0x7FFF < 16500 else 0.0
