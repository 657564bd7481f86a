"""Reading sound files from beginning to end, block by block; what is no whole sound file says why not."""

import contextlib
import os
import re
import stat
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from overtone.audio import ForwardFile
from overtone.errors import OvertoneError
from overtone.sound_files import UNKNOWN

# Frames read at a time; libsndfile has crashed on much larger blocks of Vorbis.
BLOCK = 1 << 16
# Blocks that are decoded ahead: with one, decoder and meter wait for each other.
AHEAD = 4
# Samples that an encoder may promise in excess: two frames of MP3.
SLACK = 2 * 1152
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


class LockedFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is closed only when no thread reads or writes it: libsndfile would crash.

    That the thread has been waited for is not enough: a signal may break off waiting, or starting a thread,
    which then runs and is unknown to its pool.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """As soundfile's."""
        with self._lock:
            return super().read(*args, **kwargs)

    def write(self, data: Any) -> None:
        """As soundfile's."""
        with self._lock:
            super().write(data)

    def close(self) -> None:
        """As soundfile's, after what a thread is at."""
        with self._lock:
            super().close()


class _Reader(ForwardFile, LockedFile):
    """A locked file read from beginning to end."""


@contextlib.contextmanager
def open_sound(path: Path) -> Iterator[Any]:
    """Open a file to be read from beginning to end; what is no sound file is an error that says why.

    Yields:
        A ``soundfile.SoundFile``, or for what libsndfile does not read an ``overtone.ffmpeg.FFmpegFile``.
    """
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise OvertoneError(f"{path} is a folder; name a file")
        if not stat.S_ISREG(kind.st_mode):
            raise OvertoneError(f"{path} is no regular file, and it is read twice; save it as a file first")
        if kind.st_size == 0:
            raise OvertoneError(f"{path} is empty")
        with path.open("rb") as raw:
            # By number: a name would be taken for raw samples if it ended in .raw.
            try:
                file = _Reader(raw.fileno(), closefd=False)
            except soundfile.LibsndfileError as error:
                raw.seek(0)
                file = _by_ffmpeg(raw, path, error.error_string.rstrip(".").lower())
            with file:
                yield file
    except OSError as error:
        raise OvertoneError(f"{path} cannot be read: {error.strerror}") from None


def _by_ffmpeg(raw: BinaryIO, path: Path, reason: str) -> Any:
    """Open what libsndfile does not, for the reason that it has given."""
    from overtone.ffmpeg import FFmpegFile, Unreadable

    try:
        return FFmpegFile(raw)
    except Unreadable as error:
        raise OvertoneError(
            f"{path} is not audio that overtone reads, or damaged ({error.error_string or reason}): "
            "wav, flac, mp3, ogg, opus, aiff, m4a, wma and more"
        ) from None


def blocks(file: Any, path: Path) -> Iterator[np.ndarray]:
    """Yield all of a file as (channels, time) float32 blocks."""
    done = 0
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            where, reason = done / file.samplerate, error.error_string.rstrip(".").lower()
            raise OvertoneError(
                f"{path} is truncated or damaged: it does not decode beyond {where:.1f} s ({reason})"
            ) from None
        if not len(block):
            return
        done += len(block)
        yield block.T


def ahead(decoded: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks, the next ones being decoded in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, decoded, None) for _ in range(AHEAD))
        while (block := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, decoded, None))
            yield block


def missing(file: Any, path: Path, samples: int) -> str:
    """What a file that has given so many samples per channel should hold and does not; empty if nothing."""
    promised = file.frames
    if samples + SLACK < promised < UNKNOWN and (file.format != "MP3" or _is_counted(path)):
        told, there = promised / file.samplerate, samples / file.samplerate
        return f"its header promises {told:.1f} s, and {there:.1f} s are there"
    for line, placeholder, unit in CORRECTED:
        if corrected := re.search(line, file.extra_info):
            size, rest = int(corrected["promised"]), int(corrected["there"])
            if rest < size < placeholder:
                return f"its header promises {size:,} {unit}, and {rest:,} are there"
    return _ends_inside_a_page(path)


def goes_on(file: Any, path: Path) -> bool:
    """Whether more sound lies behind what a file read to its end has given: another one was appended.

    libsndfile ends where the first of them does, and where that is its position tells.
    """
    if file.format not in ("MP3", "OGG"):
        return False
    end = os.lseek(file.name, 0, os.SEEK_CUR)
    # Without a buffer, so that the descriptor is where the file is.
    with path.open("rb", buffering=0) as raw:
        if file.format == "OGG":
            # A first page (its flag is 2) behind one that is none; libsndfile has read a little of it.
            raw.seek(max(0, end - 2 * BLOCK))
            return bool(re.search(rb"OggS\0[^\x02].*OggS\0\x02", raw.read(3 * BLOCK), re.DOTALL))
        raw.seek(end)
        _skip_end_tags(raw)
        try:
            with _Reader(raw.fileno(), closefd=False) as rest:
                return bool(rest.frames > SLACK)  # some encoders do not count the last frame
        except soundfile.LibsndfileError:
            return False


def _skip_end_tags(raw: FileIO) -> None:
    """Move a file on past ID3v1 and APE tags, which stand at the end of MPEG audio."""
    while True:
        at, start = raw.tell(), raw.read(16)
        if start.startswith(b"TAG"):
            raw.seek(at + 128)
        elif start.startswith(b"APETAGEX"):
            raw.seek(at + 32 + int.from_bytes(start[12:], "little"))
        else:
            raw.seek(at)
            return


def _is_counted(path: Path) -> bool:
    """Whether MPEG audio says how many frames it has, as Xing, Info or VBRI, in the first of them.

    Otherwise libsndfile goes by the size of the file, and takes a cover in its ID3 tag for sound.
    """
    with path.open("rb") as raw:
        head = raw.read(10)
        if head.startswith(b"ID3"):
            # Of four bytes seven bits count.
            raw.seek(sum(byte << 7 * place for place, byte in enumerate(head[:5:-1])), os.SEEK_CUR)
        else:
            raw.seek(0)
        start = raw.read(BLOCK)
    return any(name in start for name in (b"Xing", b"Info", b"VBRI"))


def _ends_inside_a_page(path: Path) -> str:
    """What is wrong with an Ogg file that ends in the middle of a page; empty if nothing.

    libsndfile takes the last whole page for the end.
    """
    with path.open("rb") as raw:
        if raw.read(4) != b"OggS":
            return ""
        raw.seek(max(0, path.stat().st_size - 65307))  # the longest page
        tail = raw.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    whole = 27 + segments + sum(page[27 : 27 + segments])
    return "it ends inside a page" if len(page) < whole else ""
