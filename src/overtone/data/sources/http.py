"""One large file over HTTP: resumed where it broke, streamed in blocks, never held in memory."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overtone.core.errors import OvertoneError
from overtone.core.storage import is_address, object_store

BLOCK = 1 << 18
"""Bytes read at a time, from the network and from files."""

TIMEOUT = 60.0
"""Seconds of silence after which a connection counts as broken."""

PAUSES = (1.0, 4.0, 15.0)
"""Seconds to wait before each new try; the tries start over whenever one brought new bytes."""


@dataclass(frozen=True)
class Progress:
    """How far a long job has come, in bytes; as a string it is one line for a person.

    Args:
        task: what is being done, e.g. ``"download fma_small.zip"``.
        done: bytes so far.
        total: bytes in all, None where the server does not say.
        rate: bytes per second, of this run.
    """

    task: str
    done: int
    total: int | None
    rate: float

    def __str__(self) -> str:
        line = f"{self.task}: {size(self.done)}"
        if self.total:
            line += f" of {size(self.total)} ({self.done / self.total:.0%})"
        line += f", {size(self.rate)}/s"
        if self.total and self.rate:
            left = round((self.total - self.done) / self.rate)
            line += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        return line


Report = Callable[[Progress], None]


class Meter:
    """Counts bytes and reports twice a second at most, and once at the end."""

    def __init__(self, task: str, total: int | None, report: Report | None, done: int = 0) -> None:
        self.task, self.total, self.report, self.done = task, total, report, done
        self.came_with = done
        self.began = self.reported = time.monotonic()

    def add(self, count: int) -> None:
        """Count so many more bytes."""
        self.done += count
        now = time.monotonic()
        if self.report and (now - self.reported > 0.5 or self.done == self.total):
            self.reported = now
            rate = (self.done - self.came_with) / max(now - self.began, 1e-9)
            self.report(Progress(self.task, self.done, self.total, rate))


def size(count: float) -> str:
    """Bytes as a person reads them: ``7.2 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def download(url: str, part: Path, report: Report | None = None) -> None:
    """Bring a file to ``part``, going on after the bytes that are there already.

    A broken connection, a short body or a server in trouble is tried again, each time from where it
    broke. What has come is kept whatever happens, so that another run goes on from there.

    Args:
        url: an http or https address, or an object store's (``s3://...``).
        part: the file to fill; it may hold the beginning from an earlier run.
        report: called with the progress.

    Raises:
        OvertoneError: the address is wrong, the server refuses, or several tries brought nothing new.
    """
    if not url.startswith(("http://", "https://")):
        if not is_address(url):
            raise OvertoneError(f"{url} is not an http or https address, nor a store's; see OVERTONE_FMA_URL")
        return _from_store(url, part, report)
    furthest = _length(part)
    failures = 0
    while True:
        try:
            _continue(url, part, report)
            return
        # Disk faults are plain OSErrors and pass: only the network's own are worth another try.
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code < 500 and error.code not in (408, 429):
                    raise OvertoneError(
                        f"{url}: the server answers {error.code} {error.reason}; "
                        "set OVERTONE_FMA_URL to an address that has it"
                    ) from None
            # A server that ignores Range and always breaks at one place brings nothing new either.
            failures = 0 if _length(part) > furthest else failures + 1
            furthest = max(furthest, _length(part))
            if failures > len(PAUSES):
                raise OvertoneError(
                    f"{url} broke off after {size(_length(part))} ({error}); "
                    "run again: what has come is kept, and it goes on from there"
                ) from None
            time.sleep(PAUSES[max(failures - 1, 0)])


def _continue(url: str, part: Path, report: Report | None) -> None:
    """One request, from the end of what is there to the end of the file."""
    have = _length(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        # Nothing lies beyond what is here: it is complete, or wrong, and its SHA-1 tells which.
        if error.code == 416 and have:
            error.close()
            return
        raise
    with response:
        if response.status != 206:
            have = 0  # the server sends the whole file whatever was asked
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException("the server sent another range than asked")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        meter = Meter(f"download {url.rsplit('/', 1)[-1]}", total, report, have)
        with part.open("ab") as file:
            file.truncate(have)
            while block := response.read(BLOCK):
                file.write(block)
                meter.add(len(block))
    if total is not None and meter.done < total:
        raise ConnectionError(f"{size(total - meter.done)} did not come")


def _from_store(url: str, part: Path, report: Report | None) -> None:
    """The same from an object store; its own client tries again what fails."""
    with object_store(url) as (files, name):
        total = files.size(name)
        with files.open(name, "rb") as source, part.open("ab") as file:
            have = min(file.tell(), total)
            file.truncate(have)
            source.seek(have)
            meter = Meter(f"download {url.rsplit('/', 1)[-1]}", total, report, have)
            while block := source.read(BLOCK):
                file.write(block)
                meter.add(len(block))


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
