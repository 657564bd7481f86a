"""Look at a file's bytes as at a `bytes` object, read block by block.

A memory map would do the same, but its pages count as the process's memory (738 MB for three hours of FLAC),
and a file that gets shorter while it is mapped ends the process by a signal.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import overload

# Bytes that are read around an index or a slice, and at a time by a search.
BLOCK, SEARCHED = 1 << 16, 1 << 20
LONGEST = 32  # bytes of a pattern


class FileBytes:
    """A file's bytes, with `bytes`' length, indices, slices and `find`; to be closed by ``with``.

    Args:
        path: the file; its size is that of the moment when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("rb", buffering=0)
        self._size = self._raw.seek(0, 2)
        self._start, self._block = 0, b""
        # Mark -> from where it was searched for, and where it was found.
        self._found: dict[bytes, tuple[int, int]] = {}

    def __enter__(self) -> "FileBytes":
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._size)
            return self._read(start, stop)[::step]
        if not 0 <= key < self._size:
            raise IndexError(key)
        return self._read(key, key + 1)[0]

    def _read(self, start: int, stop: int) -> bytes:
        first, last = start - self._start, stop - self._start
        if first < 0 or last > len(self._block):
            if stop - start > BLOCK:
                return self._load(start, stop)
            self._start, self._block = start, self._load(start, min(start + BLOCK, self._size))
            first, last = 0, stop - start
        return self._block[first:last]

    def _load(self, start: int, stop: int) -> bytes:
        """Read bytes of the file; zeros stand for those that are gone meanwhile."""
        self._raw.seek(start)
        parts: list[bytes] = []
        left = max(0, stop - start)
        while left and (part := self._raw.read(left)):
            parts.append(part)
            left -= len(part)
        return b"".join([*parts, bytes(left)])

    def find(self, mark: bytes, start: int, stop: int | None = None) -> int:
        """Return where a mark is first found in a range, -1 if it is not; by default up to the end."""
        if stop is not None:
            found = self._load(start, min(stop, self._size)).find(mark)
            return found if found < 0 else start + found
        # A scan asks for the same marks again and again: what lies before one that was found has none.
        began, found = self._found.get(mark, (self._size + 1, -1))
        if not (began <= start and (found < 0 or start <= found)):
            found = self._search(mark, start)
            self._found[mark] = (start, found)
        return found

    def _search(self, mark: bytes, start: int) -> int:
        """Search for a mark: first in the block that is there, since the next one is often near."""
        self._read(start, min(start + len(mark), self._size))
        found = self._block.find(mark, max(0, start - self._start))
        if found >= 0:
            return self._start + found
        start = max(start, self._start + len(self._block) - len(mark) + 1)
        return next(self.positions(re.compile(re.escape(mark)), start), -1)

    def positions(self, pattern: re.Pattern[bytes], start: int) -> Iterator[int]:
        """Yield where matches of a pattern begin, from a byte on; none is longer than LONGEST."""
        for begin in range(start, self._size, SEARCHED):
            block = self._load(begin, min(begin + SEARCHED + LONGEST, self._size))
            for match in pattern.finditer(block):
                if match.start() < SEARCHED:
                    yield begin + match.start()

    def begins(self, pattern: re.Pattern[bytes], at: int) -> bool:
        """Return whether a pattern, no longer than LONGEST, matches at a byte."""
        return pattern.match(self[at : at + LONGEST]) is not None

    def is_zero(self, start: int, stop: int) -> bool:
        """Return whether all bytes of a range are zero."""
        return not any(any(self._load(at, min(stop, at + SEARCHED))) for at in range(start, stop, SEARCHED))
