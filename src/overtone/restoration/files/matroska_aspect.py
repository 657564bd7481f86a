"""Write the shape of pictures whose pixels are no squares into a finished Matroska or WebM.

PyAV does not hand the shape that a container names on to FFmpeg, which would write it. A title that ends in
ROOM keeps room in the header, which DisplayWidth and DisplayHeight are then moved into::

    TrackEntry   | ... | Name "title~~~~~~" | ... | Video  width, height                 | ... |
    becomes      | ... | Name "title"       | ... | Video  width, height, display's both | ... | Void |

Source: RFC 9559 (Matroska), 5.1.4; RFC 8794 (EBML).
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

ROOM = "~" * 24
SEGMENT, TRACKS, ENTRY, NAME, VIDEO, VOID, CRC = 0x18538067, 0x1654AE6B, 0xAE, 0x536E, 0xE0, 0xEC, 0xBF
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2


def write_aspects(file: BinaryIO, displays: list[tuple[int, int]]) -> None:
    """Write the display's width and height of every track that has room for them.

    Args:
        file: a Matroska that FFmpeg has written, open for reading and writing.
        displays: width and height for each track whose title ends in ROOM, in the order of tracks.
    """
    at = 0
    while True:
        file.seek(at)
        head = file.read(12)
        name, size, start = _header(head, 0)
        if name == TRACKS:
            break
        # Into the segment, past all else.
        at += start if name == SEGMENT else start + size
    file.seek(at + start)
    remaining = iter(displays)
    children = [
        (name, head + (_with_display(data, remaining) if name == ENTRY else data))
        for name, head, data in _elements(file.read(size))
    ]
    body = b"".join(data for name, data in children if name != CRC)
    if len(body) < size:
        body = _element(CRC, zlib.crc32(body).to_bytes(4, "little")) + body
    file.seek(at + start)
    file.write(body)


def _with_display(entry: bytes, displays: Iterator[tuple[int, int]]) -> bytes:
    """Return a track's entry, of the same length, with the next display size if its title has room."""
    children = [*_elements(entry)]
    if not any(name == NAME and data.endswith(ROOM.encode()) for name, _, data in children):
        return entry
    built = b""
    for name, head, data in children:
        if name == NAME:
            title = data[: -len(ROOM)]
            built += _element(NAME, title) if title else b""
        elif name == VIDEO:
            display = zip((DISPLAY_WIDTH, DISPLAY_HEIGHT), next(displays), strict=True)
            sizes = [_element(child, value.to_bytes(4, "big")) for child, value in display]
            # FFmpeg writes a unit that says that the display is unknown.
            others = [top + value for child, top, value in _elements(data) if child != DISPLAY_UNIT]
            built += _element(VIDEO, b"".join(others + sizes))
        else:
            built += head + data
    # A size field of eight bytes goes with any that is left.
    left = len(entry) - len(built) - 9
    return built + VOID.to_bytes(1, "big") + (1 << 56 | left).to_bytes(8, "big") + bytes(left)


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return an element's name and size, and where its data begins."""
    length = 9 - data[at].bit_length()
    name = int.from_bytes(data[at : at + length], "big")
    at += length
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1
    return name, size, at + length


def _elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each element's name, its header and its data."""
    at = 0
    while at < len(data):
        name, size, start = _header(data, at)
        yield name, data[at:start], data[start : start + size]
        at = start + size


def _element(name: int, data: bytes) -> bytes:
    """Build an element with the shortest size field."""
    length = 1
    while len(data) >= (1 << 7 * length) - 1:
        length += 1
    size = (1 << 7 * length) | len(data)
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + size.to_bytes(length, "big") + data
