"""Read and write music and shards wherever they are stored: at a path, in a zip archive, in an object store.

A clip in an archive is written as ``zip://fma_small/000/000002.mp3::fma_small.zip``, as fsspec does; an
archive named without a folder lies in the folder of downloads.

An address such as ``s3://bucket/music`` is read and written through fsspec; the store's own environment
variables name the store and its key (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ... for S3).
"""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from overtone.core.atomic import replacing
from overtone.core.errors import OvertoneError


class Member(NamedTuple):
    """A file in a zip archive: the archive's path, and the name of its entry."""

    archive: Path
    name: str


Location = Path | str | Member
"""A path, a file in an archive, or an address as text."""


def is_address(name: str) -> bool:
    """Return whether a name is an object store's address and not a path."""
    return "://" in name and not name.startswith("file:")


def locate(folder: Path, name: str) -> Location:
    """Turn a name from a table into a location: an address as it is, a path from the folder made absolute.

    `as_text` writes names with ``file:``.
    """
    if name.startswith("file:"):
        return Path(os.fsdecode(unquote_to_bytes(name.removeprefix("file://"))))
    if name.startswith("zip://"):
        entry, archive = name.removeprefix("zip://").split("::")
        path = Path(archive)
        return Member((path if path.name != archive else download_folder() / path).absolute(), entry)
    return name if is_address(name) else (folder / name).absolute()


def as_text(location: Location) -> str:
    """Format an absolute path or an address for a table; a name that is no text as a ``file:`` URI."""
    # Bytes that are no UTF-8 cannot be written, and a carriage return ends a row.
    name = str(location)
    return location.as_uri() if isinstance(location, Path) and not name.isprintable() else name


def download_folder() -> Path:
    """Return the folder of downloaded archives.

    The folder is no output of DVC, since DVC deletes a stage's outputs before it runs.
    """
    return Path(os.environ.get("OVERTONE_DOWNLOADS") or ".downloads")


def open_binary(path: Path) -> zipfile.ZipFile:
    """Open a zip archive and keep it open: reading a list of 106,574 entries takes about a second."""
    state = path.stat()
    return _opened(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, size: int, changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@contextmanager
def object_store(address: str, action: str = "read") -> Iterator[tuple[Any, str]]:
    """Yield the file system of an address and the name in it; turn errors inside into one line.

    Args:
        address: in the store.
        action: for that line, ``read`` or ``written``.

    Raises:
        OvertoneError: the protocol is not known, or the store refuses or does not answer.
    """
    try:
        import fsspec

        yield fsspec.core.url_to_fs(address)
    except OvertoneError:
        raise
    except (ImportError, ValueError) as error:
        raise OvertoneError(f"{address} cannot be {action}: {error}; for s3:// pip install 's3fs'") from None
    # Every store has exceptions of its own, such as botocore's: none is a fault in this code.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OvertoneError(
            f"{address} cannot be {action}: {reason}; check the address and the store's key"
        ) from None


@contextmanager
def local_copy(location: Location) -> Iterator[Path]:
    """Yield a path to read a location from: its own, or a temporary copy that is deleted afterwards."""
    if isinstance(location, Path):
        yield location
        return
    name = location.name if isinstance(location, Member) else location
    with tempfile.TemporaryDirectory(prefix="overtone-") as folder:
        path = Path(folder) / name.rsplit("/", 1)[-1]
        if isinstance(location, Member):
            path.write_bytes(_read(location))
        else:
            with object_store(location) as (files, name):
                files.get_file(name, str(path))
        yield path


def _read(member: Member) -> bytes:
    try:
        return open_binary(member.archive).read(member.name)
    except FileNotFoundError:
        raise OvertoneError(
            f"{member.archive} is missing, and clips are read from it; set OVERTONE_DOWNLOADS to its folder "
            "or run dvc repro --force --single-item download_fma"
        ) from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise OvertoneError(f"{member.archive}: {member.name} cannot be read ({error})") from None


def upload(path: Path, location: Path | str) -> None:
    """Copy a file to a path or an address, complete or not at all."""
    if isinstance(location, str):
        with object_store(location, "written") as (files, name):
            files.put_file(str(path), name)
        return
    try:
        location.parent.mkdir(parents=True, exist_ok=True)
        with replacing(location) as temporary:
            shutil.copyfile(path, temporary)
    except OSError as error:
        raise OvertoneError(f"{location} cannot be written: {error.strerror}") from None


def read_range(location: Path | str, first: int, size: int) -> bytes:
    """Read so many bytes of a file, from the first on."""
    if isinstance(location, str):
        with object_store(location) as (files, name):
            read: bytes = files.cat_file(name, start=first, end=first + size)
            return read
    with location.open("rb") as file:
        file.seek(first)
        return file.read(size)


def list_below(address: str) -> list[tuple[str, int]]:
    """List the addresses of all files below an address, sorted, with their bytes."""
    with object_store(address) as (files, name):
        found = files.find(name, detail=True)
        return sorted((str(files.unstrip_protocol(path)), int(info["size"])) for path, info in found.items())
