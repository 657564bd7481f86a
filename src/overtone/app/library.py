"""Hold the files of each browser tab: their states, measurements and places on disk."""

import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overtone.app.signals import RawSignal
from overtone.app.work import content_size
from overtone.core.errors import OvertoneError

if TYPE_CHECKING:
    from overtone.app.curve import Reference

SESSION = re.compile(r"[0-9a-f]{32}")
WAITING, RUNNING, READY, FAILED, CANCELLED = "waiting", "running", "ready", "failed", "cancelled"
# Seconds after which a tab's files are removed: it was closed, or nothing was heard of it. A laptop asleep
# does not count: its clock stands still.
CLOSED_AFTER, SILENT_AFTER = 300.0, 7200.0
LONGEST_NAME = 120


@dataclass
class Item:
    """A file of a tab.

    Attributes:
        key: its name in addresses and on disk, random.
        name: the name that the browser gave, for display.
        folder: where all that belongs to it is.
        source: the uploaded file.
        state: WAITING, RUNNING, READY, FAILED or CANCELLED.
        wanted_cutoff: in Hz, as dragged by the user; None to measure it.
        share: of the work that is done, 0 to 1.
        message: why it failed, or a remark.
        facts: the measurements for the page, such as rate, channels, seconds, cutoff.
        reference_name: of the recording that the added band is corrected by; empty if there is none.
        reference: its measurement, once it is made.
    """

    key: str
    name: str
    folder: Path
    source: Path
    state: str = WAITING
    wanted_cutoff: float | None = None
    share: float = 0.0
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    reference_name: str = ""
    reference: "Reference | None" = None
    began: float = 0.0
    version: int = 0  # counts restorations, so that the page knows when sounds and pictures are out of date
    stop: threading.Event = field(default_factory=threading.Event)
    using: threading.RLock = field(default_factory=threading.RLock)

    @property
    def reference_path(self) -> Path:
        """The uploaded reference."""
        return self.folder / "reference"

    @property
    def dry(self) -> RawSignal:
        """The input, at the output's rate."""
        return RawSignal(self.folder / "dry.f32", self.facts["channels"])

    @property
    def added(self) -> RawSignal:
        """The band that the restoration added, at the output's rate."""
        return RawSignal(self.folder / "added.f32", self.facts["channels"])

    def public(self) -> dict[str, Any]:
        """Return what the page shows."""
        left = None
        if self.state == RUNNING and self.share > 0.02:
            left = (time.monotonic() - self.began) * (1 - self.share) / self.share
        return {
            "key": self.key,
            "name": self.name,
            "state": self.state,
            "share": round(self.share, 4),
            "left": left,
            "message": self.message,
            "version": self.version,
            "reference": self._public_reference(),
            **self.facts,
        }

    def _public_reference(self) -> dict[str, Any] | None:
        """Return what the page shows of the reference."""
        if not self.reference_name:
            return None
        measured = self.reference
        bands = [band.decibels for band in measured.bands] if measured else []
        return {"name": self.reference_name, "strength": measured and measured.strength, "decibels": bands}


@dataclass
class Session:
    """A browser tab: its folder, its items in order, and when it was last in contact."""

    folder: Path
    items: dict[str, Item] = field(default_factory=dict)
    contact: float = field(default_factory=time.monotonic)
    closed: bool = False


class Library:
    """All sessions of a server, safe to use from several threads.

    Args:
        folder: the work folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()

    def session(self, name: str) -> Session:
        """Return a tab's session and note the contact; a new one if need be.

        Raises:
            KeyError: the name is malformed.
        """
        if not SESSION.fullmatch(name):
            raise KeyError(name)
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = Session(self._folder / name)
            session = self._sessions[name]
            session.contact, session.closed = time.monotonic(), False
            return session

    def close(self, name: str) -> None:
        """Note that a tab was closed or is about to reload."""
        with self._lock:
            if session := self._sessions.get(name):
                session.contact, session.closed = time.monotonic(), True

    def new_item(self, session: Session, name: str) -> Item:
        """Create the folder of a file that is about to be uploaded; `add` it afterwards."""
        key = secrets.token_hex(8)
        folder = session.folder / key
        folder.mkdir(parents=True)
        name = safe_name(name)
        suffix = re.fullmatch(r".*(\.[A-Za-z0-9]{1,8})", name)
        return Item(key, name, folder, folder / f"source{suffix[1].lower() if suffix else ''}")

    def add(self, session: Session, item: Item) -> None:
        """Show an item on its tab."""
        with self._lock:
            session.items[item.key] = item

    def item(self, session: Session, key: str) -> Item:
        """Return an item of a tab.

        Raises:
            KeyError: this tab has no such item.
        """
        with self._lock:
            return session.items[key]

    def remove(self, session: Session, key: str) -> None:
        """Cancel an item's work and delete its files."""
        with self._lock:
            item = session.items.pop(key)
        item.stop.set()
        discard(item.folder)

    def expire(self) -> list[str]:
        """Delete the files of tabs that are gone; return a line for each."""
        now, lines = time.monotonic(), []
        with self._lock:
            for name, session in list(self._sessions.items()):
                if now - session.contact > (CLOSED_AFTER if session.closed else SILENT_AFTER):
                    del self._sessions[name]
                    for item in session.items.values():
                        item.stop.set()
                    count, size = content_size(session.folder)
                    discard(session.folder)
                    if count:
                        lines.append(f"removed {count} files ({size / 1e6:.0f} MB) of a tab that was closed")
        return lines

    def stop_all(self) -> None:
        """Cancel all work."""
        with self._lock:
            for session in self._sessions.values():
                for item in session.items.values():
                    item.stop.set()


def safe_name(name: str) -> str:
    """Reduce a name that a browser gave to a plain file name, for display and downloads.

    Example:
        >>> safe_name("../../etc/pass\\nwd"), safe_name("C:\\\\music\\\\a.mp3"), safe_name("..")
        ('pass wd', 'a.mp3', 'sound')
    """
    last = re.split(r"[/\\]", name)[-1]
    text = "".join(char if char.isprintable() else " " for char in last).strip(" .")
    stem, dot, suffix = text.rpartition(".")
    return (f"{stem[:LONGEST_NAME]}{dot}{suffix[:8]}" if dot else text[:LONGEST_NAME]) or "sound"


def discard(folder: Path) -> None:
    """Delete a folder; the worker may still write to it, and deletes the rest itself then."""
    shutil.rmtree(folder, ignore_errors=True)


def check_space(folder: Path, needed: int) -> None:
    """Raise unless the disk has room for so many bytes.

    Raises:
        OvertoneError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OvertoneError(
            f"the work folder's disk has {free / 1e9:.1f} GB free, and this file needs "
            f"{needed / 1e9:.1f} GB; free some, or name another disk with --work"
        )
