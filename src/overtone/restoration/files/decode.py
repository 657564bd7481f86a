"""Reading sound files from beginning to end, block by block; what is no whole sound file says why not.

Files joined end to end (``cat a.mp3 b.mp3``, an advertisement put before a podcast) are read as one.
"""

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

from overtone.audio.soundfiles import ForwardFile
from overtone.core.errors import OvertoneError
from overtone.formats import UNKNOWN

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


class _Rest(FileIO):
    """A file from a place on, as one that begins there: libsndfile itself would do that for MP3 alone."""

    def __init__(self, path: Path, start: int) -> None:
        super().__init__(path)
        self._start = start
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As a file's."""
        return super().seek(offset + (self._start if whence == os.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        """As a file's."""
        return super().tell() - self._start


@contextlib.contextmanager
def open_sound(path: Path) -> Iterator[Any]:
    """Open a file to be read from beginning to end; what is no sound file is an error that says why.

    Yields:
        A ``soundfile.SoundFile``, or for what libsndfile does not read an
        ``overtone.restoration.files.ffmpeg.FFmpegFile``.
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
    from overtone.restoration.files.ffmpeg import FFmpegFile, Unreadable

    try:
        return FFmpegFile(raw)
    except Unreadable as error:
        raise OvertoneError(
            f"{path} is not audio that overtone reads, or damaged ({error.error_string or reason}): "
            "wav, flac, mp3, ogg, opus, aiff, m4a, wma and more"
        ) from None


def blocks(file: Any, path: Path) -> Iterator[np.ndarray]:
    """Yield all of a file as (channels, time) float32 blocks, and then those of files joined to its end.

    Raises:
        OvertoneError: it is damaged or truncated, or what is joined to it cannot be read as one with it.
    """
    kind = file.samplerate, file.channels
    start, done = 0, 0
    with contextlib.ExitStack() as opened:
        while True:
            began = done
            while (block := _read(file, path, done / kind[0])).size:
                done += block.shape[1]
                yield block
            if missing := _missing(file, path, start, done - began):
                raise OvertoneError(f"{path} is truncated: {missing}; get it whole")
            if not (start := _joint(file, path, start)):
                return
            opened.close()
            try:
                file = opened.enter_context(_Reader(opened.enter_context(_Rest(path, start))))
            except soundfile.LibsndfileError as error:
                fault = error.error_string.rstrip(".").lower()
            else:
                fault = f"{file.samplerate} Hz, channels: {file.channels}; before {kind[0]} Hz, {kind[1]}"
                if kind == (file.samplerate, file.channels):
                    continue
            raise OvertoneError(
                f"{path} is several sound files joined together, and the one at {done / kind[0]:.1f} s does "
                f"not fit those before it ({fault}); make one of them first, as ffmpeg -i IN OUT.flac does"
            )


def _read(file: Any, path: Path, seconds: float) -> np.ndarray:
    """The next block of a file, (channels, time), empty at its end; so many seconds have been read."""
    try:
        block: np.ndarray = file.read(BLOCK, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        reason = error.error_string.rstrip(".").lower()
        raise OvertoneError(
            f"{path} is truncated or damaged: it does not decode beyond {seconds:.1f} s ({reason})"
        ) from None
    return block.T


def ahead(decoded: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks, the next ones being decoded in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, decoded, None) for _ in range(AHEAD))
        while (block := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, decoded, None))
            yield block


def _missing(file: Any, path: Path, start: int, samples: int) -> str:
    """What a file that has given so many samples per channel should hold and does not; empty if nothing.

    It begins at byte ``start`` of what is at the path.
    """
    promised = file.frames
    if samples + SLACK < promised < UNKNOWN and (file.format != "MP3" or _is_counted(path, start)):
        told, there = promised / file.samplerate, samples / file.samplerate
        return f"its header promises {told:.1f} s, and {there:.1f} s are there"
    for line, placeholder, unit in CORRECTED:
        if corrected := re.search(line, file.extra_info):
            size, rest = int(corrected["promised"]), int(corrected["there"])
            if rest < size < placeholder:
                return f"its header promises {size:,} {unit}, and {rest:,} are there"
    return _ends_inside_a_page(path)


def _joint(file: Any, path: Path, start: int) -> int:
    """The byte at which another sound file begins behind one that was read to its end; 0 if there is none.

    libsndfile ends where the first of them does, and how far it has read tells where that is.
    """
    if file.format not in ("MP3", "OGG"):
        return 0
    raw = file.name
    end = os.lseek(raw if isinstance(raw, int) else raw.fileno(), 0, os.SEEK_CUR)
    with path.open("rb") as behind:
        if file.format == "OGG":
            # A first page (its flag is 2) behind one that is none; libsndfile has read on a little.
            at = max(start, end - 2 * BLOCK)
            behind.seek(at)
            pages = re.search(rb"OggS\0[^\x02].*?(OggS\0\x02)", behind.read(end + BLOCK - at), re.DOTALL)
            return at + pages.start(1) if pages else 0
        behind.seek(end)
        _skip_end_tags(behind)
        end = behind.tell()
    try:
        with _Rest(path, end) as rest, _Reader(rest) as more:
            return end if more.frames > SLACK else 0  # some encoders do not count the last frame
    except soundfile.LibsndfileError:
        return 0


def _skip_end_tags(raw: BinaryIO) -> None:
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


def _is_counted(path: Path, start: int) -> bool:
    """Whether MPEG audio says how many frames it has, as Xing, Info or VBRI, in the first of them.

    Otherwise libsndfile goes by the size of the file, and takes a cover in its ID3 tag for sound.
    """
    with _Rest(path, start) as raw:
        head = raw.read(10)
        if head.startswith(b"ID3"):
            # Of four bytes seven bits count.
            raw.seek(sum(byte << 7 * place for place, byte in enumerate(head[:5:-1])), os.SEEK_CUR)
        else:
            raw.seek(0)
        begin = raw.read(BLOCK)
    return any(name in begin for name in (b"Xing", b"Info", b"VBRI"))


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
