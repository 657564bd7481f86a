"""Find every frame of MPEG audio (MP1, MP2, MP3) by its header (ISO 11172-3, 13818-3).

A decoder stops, or passes over bytes, without a word; this scan says how much sound there is, and where.

::

    | ID3v2 | Xing | frame | frame | ... | noise | frame | ... | ID3v1 | frame at another rate | ...
              `------- run ------------'   junk    `- run ---'           `- run -----------------
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from overtone.restoration.files.file_bytes import FileBytes

# Kilobits per second by index, for (MPEG-1?, layer).
_HIGH_1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_HIGH_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_HIGH_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW_1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_LOW_23 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS = {
    (True, 1): _HIGH_1,
    (True, 2): _HIGH_2,
    (True, 3): _HIGH_3,
    (False, 1): _LOW_1,
    (False, 2): _LOW_23,
    (False, 3): _LOW_23,
}
_RATES = (44100, 48000, 32000)
# Samples by which a count in a header may be wrong: some encoders leave out the last frame.
SLACK = 2 * 1152
# The longest frame in bytes: layer 2 at 384 kbit/s and 32 kHz. Less than that in the middle of a file is the
# rest of a frame that a cut went through.
LARGEST_FRAME = 1728
# Headers in a row that must agree before bytes after a fault count as sound. Four of noise agree by chance
# about once in 2^40 bytes.
CONFIRMED = 3


class Frame(NamedTuple):
    """Describe a frame by its header: ``size`` in bytes, ``samples`` per channel."""

    mpeg1: bool
    layer: int
    rate: int
    channels: int
    samples: int
    size: int

    @property
    def kind(self) -> tuple[bool, int, int, int]:
        """Return the properties that stay the same within one stream."""
        return self[:4]


@functools.lru_cache(maxsize=4096)
def parse(word: bytes) -> Frame | None:
    """Read a frame's header; None if these four bytes are none (free format counts as none)."""
    if len(word) < 4 or word[0] != 0xFF or word[1] & 0xE0 != 0xE0:
        return None
    version, layer = word[1] >> 3 & 3, 4 - (word[1] >> 1 & 3)
    kbits, rate, padding = word[2] >> 4, word[2] >> 2 & 3, word[2] >> 1 & 1
    if version == 1 or layer == 4 or kbits in (0, 15) or rate == 3 or word[3] & 3 == 2:
        return None
    mpeg1 = version == 3
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = _KBITS[mpeg1, layer][kbits] * 1000
    channels = 1 if word[3] >> 6 == 3 else 2
    if layer == 1:
        return Frame(mpeg1, layer, hertz, channels, 384, (12 * bits // hertz + padding) * 4)
    samples = 576 if layer == 3 and not mpeg1 else 1152
    return Frame(mpeg1, layer, hertz, channels, samples, samples // 8 * bits // hertz + padding)


@dataclass
class Run:
    """Frames of one kind behind each other, with nothing between them.

    Attributes:
        start, end: bytes.
        kind: its first frame.
        frames: their number, without that of the header.
        counted: how many the header promises (Xing, Info or VBRI); None if it does not.
        trimmed: samples that the encoder added at both ends, and a decoder takes off again.
        before: samples per channel in the runs before it.
    """

    start: int
    end: int
    kind: Frame
    frames: int = 0
    counted: int | None = None
    trimmed: int = 0
    before: int = 0

    @property
    def there(self) -> int:
        """Samples per channel of the frames that are there, less what a decoder takes off."""
        return max(0, self.frames * self.kind.samples - self.trimmed)

    @property
    def promised(self) -> int:
        """Samples per channel by the header; without one, those that are there."""
        if self.counted is None:
            return self.there
        return max(0, self.counted * self.kind.samples - self.trimmed)


class Junk(NamedTuple):
    """Bytes that are neither frames nor tags, with the seconds of sound before them."""

    start: int
    end: int
    seconds: float
    zeros: bool


@dataclass
class Scan:
    """All frames of a file: its runs and what lies between them."""

    size: int
    runs: list[Run] = field(default_factory=list)
    junk: list[Junk] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Return whether the file is MPEG audio, and not a few bytes that look like it."""
        sound = sum(run.end - run.start for run in self.runs)
        other = sum(part.end - part.start for part in self.junk if not part.zeros)
        return bool(self.runs) and sound > other

    def inner_junk(self) -> list[Junk]:
        """Return what lies between frames, and what lies behind them and is more than padding."""
        if not self.runs:
            return []
        first, last = self.runs[0].start, self.runs[-1].end
        return [part for part in self.junk if part.start >= first and not (part.start >= last and part.zeros)]


def scan(data: FileBytes) -> Scan:
    """Find all frames of MPEG audio.

    Args:
        data: the file's bytes.
    """
    size = len(data)
    found = Scan(size)
    run: Run | None = None
    at = 0
    while at < size:
        frame = parse(data[at : at + 4])
        if frame and at + frame.size <= size:
            agrees = run is not None and run.kind.kind == frame.kind
            if agrees or _confirmed(data, at, frame, 1 if run else CONFIRMED):
                run = _take(found, run if agrees else None, data, at, frame)
                at += frame.size
                continue
        run = None
        if tag := tag_size(data, at):
            at += tag
            continue
        start, at = at, _next_start(data, at + 1)
        found.junk.append(Junk(start, at, _seconds(found), data.is_zero(start, at)))
    _join_short_runs(found)
    _drop_end_tag(found, data)
    return found


def _take(found: Scan, run: Run | None, data: FileBytes, at: int, frame: Frame) -> Run:
    """Add a frame to the run, or begin another: at a Xing header, or behind all frames that one counts."""
    header = _count(data, at, frame)
    full = run is not None and run.counted is not None and run.frames >= run.counted
    if run is None or header or full:
        before = found.runs[-1].before + found.runs[-1].there if found.runs else 0
        counted, trimmed = header or (None, 0)
        run = Run(at, at, frame, -1 if header else 0, counted, trimmed, before)
        found.runs.append(run)
    run.frames += 1
    run.end = at + frame.size
    return run


def _join_short_runs(found: Scan) -> None:
    """Count the one or two frames that an encoder has not counted to the run that they end."""
    kept: list[Run] = []
    for run in found.runs:
        follows = kept and kept[-1].end == run.start and kept[-1].kind.kind == run.kind.kind
        if follows and run.counted is None and run.frames <= 2:
            kept[-1].end = run.end
        elif run.frames or run.counted:
            kept.append(run)
    found.runs = kept


def _drop_end_tag(found: Scan, data: FileBytes) -> None:
    """Take junk that an APE tag's footer covers (version 1 has no header) for the tag that it is."""
    kept = []
    for part in found.junk:
        footer = data[part.end : part.end + 16]
        tail = data[max(part.start, part.end - 32) : part.end]
        for mark in (footer, tail):
            if mark[:8] == b"APETAGEX":
                break
        else:
            kept.append(part)
    found.junk = kept


def _seconds(found: Scan) -> float:
    return sum(run.there / run.kind.rate for run in found.runs)


def _confirmed(data: FileBytes, at: int, frame: Frame, times: int) -> bool:
    """Return whether so many frames of the same kind follow, or as many as there are up to the end."""
    for _ in range(times):
        at += frame.size
        follower = parse(data[at : at + 4])
        if follower is None or follower.kind != frame.kind:
            return at >= len(data) or bool(tag_size(data, at))
        frame = follower
    return True


def _next_start(data: FileBytes, at: int) -> int:
    """Return the next byte at which frames or a tag begin, or the end."""
    for sync in _candidates(data, at):
        if data[sync] != 0xFF:
            if tag_size(data, sync):
                return sync
        elif (frame := parse(data[sync : sync + 4])) and _confirmed(data, sync, frame, CONFIRMED):
            return sync
    return len(data)


def _candidates(data: FileBytes, at: int) -> Iterator[int]:
    """Yield the bytes from one on at which a frame or a tag may begin, in order."""
    marks = [b"\xff", b"ID3", b"APETAGEX", b"LYRICSBEGIN"]
    nexts = [data.find(mark, at) for mark in marks]
    if (end := len(data) - 128) >= at and data[end : end + 3] == b"TAG":
        nexts.append(end)
        marks.append(b"\0no other")
    while positions := [place for place in nexts if place >= 0]:
        found = min(positions)
        yield found
        nexts = [
            data.find(mark, found + 1) if place == found else place
            for mark, place in zip(marks, nexts, strict=True)
        ]


def tag_size(data: FileBytes, at: int) -> int:
    """Return the size in bytes of an ID3, APE or Lyrics3 tag that begins there; 0 if none does."""
    head = data[at : at + 16]
    size = len(data)
    if head[:3] == b"ID3" and len(head) > 9 and head[3] < 5 and max(head[6:10]) < 0x80:
        length = sum(byte << 7 * shift for shift, byte in enumerate(reversed(head[6:10])))
        return min(size - at, 10 + length + (10 if head[5] & 0x10 else 0))
    if head[:4] == b"TAG+" and data[at + 227 : at + 230] == b"TAG":
        return 227
    if head[:3] == b"TAG" and (at + 128 >= size or _is_start(data, at + 128)):
        return min(size - at, 128)
    if head[:8] == b"APETAGEX":
        return min(
            size - at, 32 + int.from_bytes(head[12:16], "little") * bool(data[at + 23 : at + 24] > b"\x7f")
        )
    if head[:11] == b"LYRICSBEGIN":
        ends = [data.find(mark, at, at + 100_000) for mark in (b"LYRICS200", b"LYRICSEND")]
        return max(ends) + 9 - at if max(ends) >= 0 else 0
    return 0


def _is_start(data: FileBytes, at: int) -> bool:
    head = data[at : at + 11]
    return head.startswith((b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")) or parse(head[:4]) is not None


def _count(data: FileBytes, at: int, frame: Frame) -> tuple[int | None, int] | None:
    """Read a frame that holds no sound but a count of frames, and what to trim; None if it is sound."""
    if frame.layer != 3:
        return None
    side = (32 if frame.channels == 2 else 17) if frame.mpeg1 else (17 if frame.channels == 2 else 9)
    mark = at + 4 + side
    if data[mark : mark + 4] in (b"Xing", b"Info"):
        flags = data[mark + 7]
        counted = int.from_bytes(data[mark + 8 : mark + 12], "big") if flags & 1 else 0
        fields = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        lame = data[mark + fields : mark + fields + 24]
        known = lame[:4] in (b"LAME", b"Lavf", b"Lavc", b"GOGO", b"L3.9")
        trimmed = int.from_bytes(lame[21:24], "big") if known and len(lame) == 24 else 0
        return counted or None, (trimmed >> 12) + (trimmed & 0xFFF)
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big") or None, 0
    return None
