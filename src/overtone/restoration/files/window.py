"""Read a range of a file as a file of its own, with a few header bytes corrected on the way."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Window:
    """A range of bytes of a file, as much of a binary file as libsndfile and FFmpeg ask for.

    ::

        file     ....|start ............ end|....
        window       |0 ................ size|

    Args:
        path: the file.
        start: first byte of the range.
        end: the byte after its last; by default the end of the file.
        patches: bytes that replace those of the file, by their offset in the window.
    """

    def __init__(
        self, path: Path, start: int = 0, end: int | None = None, patches: Mapping[int, bytes] | None = None
    ) -> None:
        self._raw = path.open("rb", buffering=0)
        whole = os.fstat(self._raw.fileno()).st_size
        self._start, self._end = start, whole if end is None else min(end, whole)
        self._patches = dict(patches or {})
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move as a file does; the start and the end are those of the range."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end - self._start}[whence]
        if base + offset < 0:
            raise OSError("negative seek position")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the offset in the range."""
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read up to so many bytes of the range; all that is left by default."""
        left = max(0, self._end - self._start - self._at)
        count = left if size < 0 else min(size, left)
        self._raw.seek(self._start + self._at)
        found = self._raw.read(count) or b""
        for offset, patch in self._patches.items():
            if self._at < offset + len(patch) and offset < self._at + len(found):
                found = _overlaid(found, offset - self._at, patch)
        self._at += len(found)
        return found

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as the range goes; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close the file below."""
        self._raw.close()

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _overlaid(data: bytes, offset: int, patch: bytes) -> bytes:
    """Return data of the same length with a patch at an offset, which may reach over either end."""
    first, last = max(0, offset), min(len(data), offset + len(patch))
    return data[:first] + patch[first - offset : last - offset] + data[last:]
