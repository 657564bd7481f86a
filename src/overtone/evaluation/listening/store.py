"""Store ratings in one SQLite file; each is on disk when `Store.rate` returns."""

import contextlib
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from overtone.core.errors import OvertoneError
from overtone.evaluation.listening.session import ALLOWED, Clip

OURS = 0x6F76746E  # "ovtn", SQLite's application_id of our files
LISTENER = re.compile(r"[0-9a-f]{32}")
TABLES = f"""
PRAGMA application_id = {OURS};
CREATE TABLE secret (value BLOB NOT NULL);
CREATE TABLE clips (
    name TEXT PRIMARY KEY, test TEXT NOT NULL,
    part TEXT NOT NULL, sample TEXT NOT NULL, system TEXT NOT NULL
);
CREATE TABLE ratings (
    listener TEXT NOT NULL, clip TEXT NOT NULL REFERENCES clips, value INTEGER NOT NULL,
    at INTEGER NOT NULL, -- milliseconds since 1970 by the listener's clock
    PRIMARY KEY (listener, clip)
);
"""


class Rating(NamedTuple):
    """A listener's latest rating of a clip."""

    listener: str
    part: str
    sample: str
    system: str
    value: int


class RefusedError(OvertoneError):
    """Refuse ratings that the page does not send."""


class Store:
    """Ratings in a SQLite file.

    Each call opens the file again, so threads and processes may share it.

    Args:
        path: the file.
        create: create the file if it does not exist.

    Raises:
        OvertoneError: the file is of another kind, or does not exist and must not be created.
    """

    def __init__(self, path: str | Path, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise OvertoneError(
                f"{self.path} is not there, so no test was served or exported here; nothing was stored. "
                "Change to the folder of the test"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._open() as base:
                # Of two processes that start at once, only one creates the tables.
                base.execute("BEGIN IMMEDIATE")
                empty = base.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
                if empty:
                    for statement in TABLES.split(";"):
                        base.execute(statement)
                    base.execute("INSERT INTO secret VALUES (?)", [secrets.token_bytes(32)])
                if base.execute("PRAGMA application_id").fetchone() != (OURS,):
                    raise OvertoneError(f"{self.path} is another program's database; move it away")
                self.secret: bytes = base.execute("SELECT value FROM secret").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise OvertoneError(f"{self.path} does not open as a database of ratings: {error}") from None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction: committed when the block ends, rolled back when it raises."""
        base = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            base.execute("PRAGMA synchronous = FULL")
            base.execute("PRAGMA foreign_keys = ON")
            yield base
            if base.in_transaction:
                base.execute("COMMIT")
        finally:
            base.close()

    def know(self, test: str, names: Mapping[str, Clip]) -> None:
        """Store which clip each name of a test stands for; its ratings are accepted from then on."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            rows = [(name, test, *clip) for name, clip in names.items()]
            base.executemany("INSERT OR IGNORE INTO clips VALUES (?, ?, ?, ?, ?)", rows)

    def rate(self, listener: object, ratings: object) -> int:
        """Store ratings; return how many were new or later than the stored ones.

        Ratings are merged by clip: the later one counts, and of two at the same millisecond the higher one,
        in whichever order they arrive. Sending the same ratings again changes nothing.

        Args:
            listener: 32 hexadecimal digits.
            ratings: a list of ``{"clip": name, "value": whole number, "at": milliseconds}``.

        Raises:
            RefusedError: something else was given; nothing of it is stored.
        """
        if not isinstance(listener, str) or not LISTENER.fullmatch(listener):
            raise RefusedError("the listener is not 32 hexadecimal digits")
        if not isinstance(ratings, list):
            raise RefusedError("the ratings are not a list")
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            before = base.total_changes
            for rating in ratings:
                base.execute(
                    "INSERT INTO ratings VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET value = excluded.value, at = excluded.at "
                    "WHERE (excluded.at, excluded.value) > (ratings.at, ratings.value)",
                    [listener, *_checked(base, rating)],
                )
            return base.total_changes - before

    def rated(self, listener: str, test: str) -> list[dict[str, Any]]:
        """Return a listener's ratings of a test, in the form that `rate` takes."""
        with self._open() as base:
            rows = base.execute(
                "SELECT clip, value, at FROM ratings JOIN clips ON clip = name "
                "WHERE listener = ? AND test = ? ORDER BY clip",
                [listener, test],
            ).fetchall()
        return [{"clip": clip, "value": value, "at": at} for clip, value, at in rows]

    def ratings(self, test: str) -> list[Rating]:
        """Return all ratings of a test."""
        with self._open() as base:
            rows = base.execute(
                "SELECT listener, part, sample, system, value FROM ratings JOIN clips ON clip = name "
                "WHERE test = ? ORDER BY listener, part, sample, system",
                [test],
            ).fetchall()
        return [Rating(*row) for row in rows]

    def elsewhere(self, test: str) -> int:
        """Count the ratings of other tests."""
        with self._open() as base:
            query = "SELECT count(*) FROM ratings JOIN clips ON clip = name WHERE test <> ?"
            count: int = base.execute(query, [test]).fetchone()[0]
        return count


def _checked(base: sqlite3.Connection, rating: object) -> tuple[str, int, int]:
    """Return a rating's clip, value and time.

    Raises:
        RefusedError: the rating is malformed, or of an unknown clip.
    """
    if not isinstance(rating, dict):
        raise RefusedError("a rating is not an object")
    clip, value, at = (rating.get(key) for key in ("clip", "value", "at"))
    known = (
        base.execute("SELECT part FROM clips WHERE name = ?", [clip]).fetchone()
        if type(clip) is str
        else None
    )
    if known is None or known[0] not in ALLOWED:
        raise RefusedError(f"clip {clip!r} belongs to no test of this folder")
    allowed = ALLOWED[known[0]]
    if type(value) is not int or value not in allowed:
        raise RefusedError(f"rating {value!r} is not a whole number from {allowed[0]} to {allowed[-1]}")
    if type(at) is not int or not 0 <= at < 2**53:
        raise RefusedError(f"time {at!r} is not in milliseconds since 1970")
    return str(clip), value, at
