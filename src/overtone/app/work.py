"""Own a work folder on disk for one run of the server, and remove what killed runs left behind."""

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from overtone.core.errors import OvertoneError

LOCK = "lock"
PREFIX = "run-"


def default_folder() -> Path:
    """Return the user's cache folder: unlike /tmp, it is on a disk and not in memory."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "overtone", "app")


@contextlib.contextmanager
def open_work(base: Path) -> Iterator[tuple[Path, list[str]]]:
    """Create a folder for this run below a base folder; remove it at the end.

    A lock file tells other runs that it is in use. The system releases the lock when the process dies, by
    which the next run recognises leftovers.

    Yields:
        The folder, and a line for each leftover that was removed.

    Raises:
        OvertoneError: the folder cannot be created.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        removed = [line for folder in sorted(base.glob(f"{PREFIX}*")) if (line := _remove_leftover(folder))]
        folder = base / f"{PREFIX}{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        lock = (folder / LOCK).open("wb")
    except OSError as error:
        raise OvertoneError(
            f"{error.filename or base} cannot be used as work folder: {error.strerror}"
        ) from None
    try:
        with lock:
            _try_lock(lock)
            yield folder, removed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def content_size(folder: Path) -> tuple[int, int]:
    """Count the files below a folder, without locks, and their bytes."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.path.getsize(os.path.join(parent, name))
                count += name != LOCK
    return count, size


def _remove_leftover(folder: Path) -> str:
    """Remove the folder of a run that ended without doing so; return a line about it, or nothing."""
    with contextlib.suppress(OSError), (folder / LOCK).open("ab") as lock:
        if not _try_lock(lock):
            return ""
    count, size = content_size(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return f"removed {count} files ({size / 1e6:.0f} MB) that a run left in {folder}" if count else ""


def _try_lock(lock: IO[bytes]) -> bool:
    """Lock a file for as long as it is open; False if another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
