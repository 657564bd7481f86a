"""Walk the pages of an Ogg file (RFC 3533): where files are joined, and where it is damaged.

::

    | BOS page | page | page | page EOS | BOS page | page | ...
    `------- link ---------------------' `- link -------
"""

import zlib
from dataclasses import dataclass, field

from overtone.restoration.files.file_bytes import FileBytes
from overtone.restoration.files.mpeg import tag_size

# Ogg's checksum runs from the highest bit to the lowest, zlib's the other way about: bytes are mirrored.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# How the first packet of a stream of sound begins.
SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ", b"fLaC", b"PCM     ")

# Bytes behind the last page that some program's tag may be.
PADDING = 4096


@dataclass
class Link:
    """One of the files that are joined in a chained Ogg.

    Attributes:
        start, end: bytes.
        sounds: serial numbers of its streams of sound, and what each begins with.
        others: how many more streams it has, such as pictures.
        faults: bytes at which a page is damaged or missing, with the seconds before each.
    """

    start: int
    end: int
    sounds: dict[int, bytes] = field(default_factory=dict)
    others: int = 0
    faults: list[tuple[int, float]] = field(default_factory=list)
    cut: bool = False


def scan(data: FileBytes) -> list[Link]:
    """Find the files that are joined in an Ogg file, and the faults of each.

    Args:
        data: the file's bytes.
    """
    links: list[Link] = []
    at, size, begins, seconds, rate = 0, len(data), False, 0.0, 0
    while at < size:
        head = data[at : at + 27]
        segments = head[26] if len(head) == 27 else 0
        end = at + 27 + segments + sum(data[at + 27 : at + 27 + segments])
        whole = head[:5] == b"OggS\0" and len(head) == 27 and end <= size
        if not whole or _checksum(data, at, end) != int.from_bytes(head[22:26], "little"):
            following = data.find(b"OggS\0", at + 1)
            if links and (head[:4] == b"OggS" or following >= 0):
                if following < 0 and not whole:
                    links[-1].cut = True
                else:
                    links[-1].faults.append((at, seconds))
            elif links and not tag_size(data, at) and size - at > PADDING and not data.is_zero(at, size):
                links[-1].faults.append((at, seconds))
            at = following if following >= 0 else size
            continue
        first, serial = head[5] & 2, int.from_bytes(head[14:18], "little")
        if first:
            if not begins:
                links.append(Link(at, at))
                seconds = 0.0
            packet = data[at + 27 + segments : at + 27 + segments + 16]
            if packet.startswith(SOUND):
                links[-1].sounds[serial] = packet
                rate = _rate(packet)
            else:
                links[-1].others += 1
        begins = bool(first)
        if links:
            granule = int.from_bytes(head[6:14], "little", signed=True)
            if serial in links[-1].sounds and granule > 0 and rate:
                seconds = granule / rate
            links[-1].end = end
        at = end
    return links


def _checksum(data: FileBytes, start: int, end: int) -> int:
    """Compute a page's checksum, its own four bytes taken for zeros: CRC-32 by 0x04C11DB7 from 0."""
    page = bytearray(data[start:end])
    page[22:26] = bytes(4)
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _rate(packet: bytes) -> int:
    """Return what a granule position counts per second, of Vorbis and Opus; 0 for others."""
    if packet.startswith(b"OpusHead"):
        return 48000
    return int.from_bytes(packet[12:16], "little") if packet.startswith(b"\x01vorbis") else 0
