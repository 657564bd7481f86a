"""Find the last frame of a FLAC file (RFC 9639, 9.1): how much sound there is, and what follows it.

A decoder stops at the number of samples that the file's header has, and passes over all that is behind.

::

    | fLaC | header: 3 s | frame | frame | ... 3 s | frame | ... 8 s | tag |
    `---------- what libsndfile reads ------------'
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from overtone.restoration.files.file_bytes import FileBytes

# Bytes at the end that are searched: the largest frame has 65,535 samples of 8 channels and 4 bytes.
TAIL = 4 << 20
_BLOCKS = {1: 192} | {code: 576 << code - 2 for code in range(2, 6)} | {n: 256 << n - 8 for n in range(8, 16)}


class Info(NamedTuple):
    """Describe all frames, as the file's header does; `samples` is 0 if it does not say."""

    block: int
    rate: int
    channels: int
    samples: int


class Frame(NamedTuple):
    """Describe a frame: its first byte, its first sample, and the sample behind its last."""

    at: int
    sample: int
    end: int


def read_info(data: FileBytes, begin: int) -> Info:
    """Read the block STREAMINFO of a FLAC that begins at a byte."""
    block = int.from_bytes(data[begin + 10 : begin + 12], "big")
    packed = int.from_bytes(data[begin + 18 : begin + 26], "big")
    return Info(block, packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1)


def count_patch(data: FileBytes, begin: int, samples: int) -> dict[int, bytes]:
    """Return the bytes that make a header tell of so many samples, by their offset from its beginning."""
    packed = int.from_bytes(data[begin + 18 : begin + 26], "big")
    return {18: (packed >> 36 << 36 | samples).to_bytes(8, "big")}


def sound_end(data: FileBytes, end: int) -> int:
    """Return the byte at which the tags (ID3v1, APE) behind a file's sound begin."""
    if data[max(0, end - 128) : max(0, end - 125)] == b"TAG":
        end -= 128
    footer = data[max(0, end - 32) : end]
    if footer[:8] == b"APETAGEX":
        header = 32 if footer[23:] and footer[23] & 0x80 else 0
        end -= int.from_bytes(footer[12:16], "little") + header
    return max(0, end)


def last_frame(data: FileBytes, begin: int, end: int) -> Frame | None:
    """Return the last frame between two bytes; None if there is none near the end.

    A header's checksum has 8 bits, so that bytes of music look like a header now and then. Only frames that
    begin where another ends, or end where another begins, are taken for frames.
    """
    start = max(begin, end - TAIL)
    found = [*_frames(data[start:end], start, read_info(data, begin))]
    begins, ends = {frame.sample for frame in found}, {frame.end for frame in found} | {0}
    agreeing = [frame for frame in found if frame.sample in ends or frame.end in begins]
    return agreeing[-1] if agreeing else None


def _frames(tail: bytes, start: int, info: Info) -> Iterator[Frame]:
    """Yield whatever may be a frame's header in the bytes from an offset on."""
    for match in re.finditer(rb"\xff[\xf8\xf9]", tail):
        at = match.start()
        if frame := _parse(tail[at : at + 16], start + at, info):
            yield frame


def _parse(head: bytes, at: int, info: Info) -> Frame | None:
    """Read the header of a frame; None if these bytes are none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[4] == 0xFF:
        return None
    size, rate, channels = head[2] >> 4, head[2] & 15, head[3] >> 4
    if (channels + 1 if channels < 8 else 2) != info.channels or channels > 10 or size == 0 or rate == 15:
        return None
    more = 0 if head[4] < 0x80 else 7 - (head[4] ^ 0xFF).bit_length()
    number = head[4] & (0x7F if more == 0 else 0x3F >> more)
    for byte in head[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    after = 5 + more
    if size in (6, 7):
        block = int.from_bytes(head[after : after + size - 5], "big") + 1
        after += size - 5
    else:
        block = _BLOCKS[size]
    after += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if after >= len(head) or _crc8(head[:after]) != head[after]:
        return None
    sample = number if head[1] & 1 else number * info.block
    return Frame(at, sample, sample + block)


def _crc8(data: bytes) -> int:
    """Compute the checksum of a frame's header: CRC-8 by 0x07 from 0."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
    return value
