"""Download one large file over HTTP: resumed where it broke, streamed in blocks, never held in memory."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from overtone.core.disk_space import format_bytes
from overtone.core.errors import OvertoneError
from overtone.core.progress import open_bar
from overtone.core.storage import is_address, object_store

BLOCK = 1 << 18
"""Bytes read at a time, from the network and from files."""

TIMEOUT = 60.0
"""Seconds of silence after which a connection counts as broken."""

PAUSES = (1.0, 4.0, 15.0)
"""Seconds to wait before each new try; the count starts again whenever one brought new bytes."""


def download(url: str, part: Path) -> None:
    """Download a file to ``part`` and show the progress; bytes that are there already are not fetched again.

    After a broken connection, a short body or a server's error it tries again, each time from the last byte
    received. Received bytes are kept whatever happens, so that another run continues there.

    Args:
        url: an http or https address, or an object store's (``s3://...``).
        part: the file to fill; it may hold the beginning from an earlier run.

    Raises:
        OvertoneError: the address is wrong, the server refuses, or several tries brought nothing new.
    """
    if not url.startswith(("http://", "https://")):
        if not is_address(url):
            raise OvertoneError(f"{url} is not an http or https address, nor a store's; see OVERTONE_FMA_URL")
        return _from_store(url, part)
    furthest = _length(part)
    failures = 0
    while True:
        try:
            _continue(url, part)
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
            # A server that ignores Range and always breaks at the same byte brings nothing new either.
            failures = 0 if _length(part) > furthest else failures + 1
            furthest = max(furthest, _length(part))
            if failures > len(PAUSES):
                raise OvertoneError(
                    f"{url} broke off after {format_bytes(_length(part))} ({error}); "
                    "run again: the bytes received are kept, and it continues from there"
                ) from None
            time.sleep(PAUSES[max(failures - 1, 0)])


def _continue(url: str, part: Path) -> None:
    """Make one request, from the end of the bytes received to the end of the file."""
    have = _length(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        # Nothing lies beyond the bytes received: the file is complete, or wrong, and its SHA-1 tells which.
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
        with part.open("ab") as file, open_bar(_task(url), total, "B", have) as bar:
            file.truncate(have)
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and _length(part) < total:
        raise ConnectionError(f"{format_bytes(total - _length(part))} did not come")


def _from_store(url: str, part: Path) -> None:
    """Download from an object store; its own client repeats requests that fail."""
    with object_store(url) as (files, name):
        total = files.size(name)
        with files.open(name, "rb") as source, part.open("ab") as file:
            have = min(file.tell(), total)
            file.truncate(have)
            source.seek(have)
            with open_bar(_task(url), total, "B", have) as bar:
                while block := source.read(BLOCK):
                    file.write(block)
                    bar.update(len(block))


def _task(url: str) -> str:
    return f"download {url.rsplit('/', 1)[-1]}"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
