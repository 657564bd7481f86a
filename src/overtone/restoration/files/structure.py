"""Read what containers say of their own bytes: where another file is joined, and what is missing."""

import re
import struct
from collections.abc import Iterator

from overtone.restoration.files.file_bytes import FileBytes
from overtone.restoration.files.mpeg import CONFIRMED, parse, tag_size

# How files begin that are searched for in one another: enough bytes that none of these come about by chance.
SIGNATURES = [
    re.compile(rb"(?:RIFF|RF64|BW64)....WAVE[A-Za-z][A-Za-z0-9 ]{2}[A-Za-z0-9 ]", re.DOTALL),
    re.compile(rb"FORM....AIF[FC][A-Z]{3}[A-Z ]", re.DOTALL),
    re.compile(rb"fLaC[\0\x80]\0\0\x22"),
    re.compile(rb"caff\0\x01\0\0desc\0\0\0\0"),
    re.compile(rb"\.snd\0\0[\0-\x04].{5}\0\0\0[\x01-\x1b]", re.DOTALL),
    re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    re.compile(rb"MAC [\0-\xff]\x0f", re.DOTALL),
    re.compile(rb"TTA1[\x01\2]\0[\x01-\x20]\0"),
    re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0"),
    re.compile(rb"#!AMR(?:-WB)?\n"),
    re.compile(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"),
]

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def joints(data: FileBytes) -> list[int]:
    """Return the bytes at which files of the same kind begin, the first (behind its tags) being 0.

    Args:
        data: a file's bytes; neither MPEG audio nor Ogg.
    """
    begin = 0
    while tag := tag_size(data, begin) if data[begin : begin + 3] == b"ID3" else 0:
        begin += tag
    for signature in SIGNATURES:
        if data.begins(signature, begin):
            return [0, *data.positions(signature, begin + 1)]
    ends = _box_starts(data) or _segment_starts(data) or _avi_starts(data)
    return [0, *(start for start in ends if start)]


def foreign(data: FileBytes, at: int) -> bool:
    """Return whether a sound file of any kind begins at a byte."""
    while data[at : at + 3] == b"ID3" and (tag := tag_size(data, at)):
        at += tag
    head = data[at : at + 4]
    frame = parse(head)
    return (
        any(data.begins(signature, at) for signature in SIGNATURES)
        or head in (b"OggS", b"\x1aE\xdf\xa3", b"wvpk")
        or data[at + 4 : at + 8] == b"ftyp"
        or (frame is not None and parse(data[at + frame.size : at + frame.size + 4]) is not None)
    )


def holds_sound(data: bytes) -> bool:
    """Return whether a sound file begins anywhere in these bytes."""
    if re.search(rb"\0\0\0.ftyp[A-Za-z0-9 ]{4}", data, re.DOTALL):
        return True
    if any(signature.search(data) for signature in SIGNATURES):
        return True
    return any(_are_mpeg(data, match.start()) for match in re.finditer(rb"\xff[\xe2-\xf7\xfa-\xff]", data))


def _are_mpeg(data: bytes, at: int) -> bool:
    """Return whether frames of MPEG audio begin at a byte: more in a row than come about by chance."""
    first = frame = parse(data[at : at + 4])
    for _ in range(CONFIRMED):
        if first is None or frame is None or frame.kind != first.kind:
            return False
        at += frame.size
        frame = parse(data[at : at + 4])
    return frame is not None and first is not None and frame.kind == first.kind


def shortage(data: FileBytes) -> str:
    """Say how many bytes a film or M4A lacks of what its own headers promise; empty if none."""
    head, end = data[:16], 0
    if _is_mov(data):
        for start, size in _boxes(data):
            end = start + size
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = max((stop for _, stop in _segments(data)), default=0)
    elif head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"XWMA"):
        end = 8 + int.from_bytes(head[4:8], "little")
    elif head == ASF:
        end = _asf_size(data)
    elif head[:4] == b"caff":
        end = _caf_end(data)
    elif head[:4] == b"FRM8":
        end = 12 + int.from_bytes(head[4:12], "big")
    elif head[:4] == b"DSD ":
        end = int.from_bytes(data[12:20], "little")
    elif head == b"Creative Voice F":
        end = _voc_end(data)
    if end <= len(data):
        return ""
    return f"its header promises {end:,} bytes, and {len(data):,} are there"


def au_end(data: FileBytes) -> int:
    """Return the byte behind the sound of an AU; 0 if it is none, or does not say."""
    if data[:4] != b".snd":
        return 0
    start, size = struct.unpack(">II", data[4:12].ljust(8, b"\0"))
    return 0 if size == 0xFFFFFFFF else int(start + size)


def _is_mov(data: FileBytes) -> bool:
    return data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def _boxes(data: FileBytes) -> Iterator[tuple[int, int]]:
    """Yield start and size of the boxes of MP4 and QuickTime, as ISO 14496-12 has them."""
    at = 0
    while at + 8 <= len(data) and re.fullmatch(rb"[A-Za-z0-9 \xa9]{4}", data[at + 4 : at + 8]):
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:
            size = len(data) - at
        if size < header:
            return
        yield at, size
        at += size


def _box_starts(data: FileBytes) -> list[int]:
    if not _is_mov(data):
        return []
    return [start for start, _ in _boxes(data) if data[start + 4 : start + 8] == b"ftyp"]


def _number(data: FileBytes, at: int, marked: bool) -> tuple[int, int]:
    """Read a number of EBML: its value, and how many bytes it takes; -1 stands for an unknown size."""
    first = data[at] if at < len(data) else 0
    if not first:
        return -1, 1
    length = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    if marked:
        return value, length
    value &= (1 << 7 * length) - 1
    return (-1 if value == (1 << 7 * length) - 1 else value), length


def _segments(data: FileBytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the files in Matroska, EBML header and segment; an unknown end is 0."""
    at = start = 0
    while at + 8 < len(data):
        name, length = _number(data, at, True)
        size, more = _number(data, at + length, False)
        if name == 0x1A45DFA3:
            start = at
        at += length + more
        if name == 0x18538067:
            if size < 0:
                yield start, 0
                return
            yield start, at + size
        elif size < 0 or name not in (0x1A45DFA3, 0xEC):
            return
        at += size


def _segment_starts(data: FileBytes) -> list[int]:
    return [start for start, _ in _segments(data)] if data[:4] == b"\x1aE\xdf\xa3" else []


def _avi_starts(data: FileBytes) -> list[int]:
    """Return where AVIs begin; what is longer than 1 GiB goes on in chunks of another name."""
    at, starts = 0, []
    while data[at : at + 4] == b"RIFF" and data[at + 8 : at + 11] == b"AVI":
        if data[at + 8 : at + 12] == b"AVI ":
            starts.append(at)
        size: int = struct.unpack("<I", data[at + 4 : at + 8])[0]
        at += 8 + size + size % 2
    return starts


def _caf_end(data: FileBytes) -> int:
    """Return where the chunks of a CAF end; its data may be of unknown length, up to the end of the file."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 12], "big", signed=True)
        if size < 0 or data[at : at + 4] == b"caff":
            return 0
        at += 12 + size
    return at if at > len(data) else 0


def _voc_end(data: FileBytes) -> int:
    """Return where the blocks of a Creative VOC end: a byte of kind (0 is the last), and three of size."""
    at = int.from_bytes(data[20:22], "little")
    while 22 < at < len(data) and data[at]:
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "little")
    return at


def _asf_size(data: FileBytes) -> int:
    """Return the size of the file that ASF's file properties have; 0 if they have none."""
    at = data.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 0, 65536)
    return int.from_bytes(data[at + 40 : at + 48], "little") if at >= 0 else 0
