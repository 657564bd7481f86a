"""Compare the free space of a disk with what a job needs, and name a full disk in one line."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overtone.core.errors import OvertoneError


def format_bytes(count: float) -> str:
    """Format a number of bytes with its unit.

    >>> format_bytes(7.2 * 2**30), format_bytes(640)
    ('7.2 GiB', '640 B')
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def check_free_space(folder: Path, need: float, content: str, advice: str = "make room") -> None:
    """Raise unless the disk of a folder has so many bytes free.

    Args:
        folder: an existing one.
        need: in bytes.
        content: that is to be written, in a few words.
        advice: what to do.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OvertoneError(
            f"the disk of {folder.resolve()} has {format_bytes(free)} free, {content} needs "
            f"{format_bytes(need)}: {format_bytes(need - free)} are missing; {advice}"
        )


def is_full_disk(error: BaseException) -> bool:
    """Return whether an error says that a disk or a person's share of it is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def naming_full_disk(folder: Path, need: float, content: str, advice: str) -> Iterator[None]:
    """Turn the error of a full disk into one line with the folder and what is missing.

    The arguments are those of `check_free_space`; ``need`` counts what is still to be written.
    """
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        # What others free meanwhile, or a quota that `disk_usage` does not see, may leave nothing missing.
        check_free_space(folder, need, content, advice)
        raise OvertoneError(f"the disk of {folder.resolve()} is full: {content}; {advice}") from None
