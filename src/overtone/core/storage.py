"""Where music and shards lie: a path here or in a shared folder, a zip archive there, or an object store.

A clip in an archive is written as ``zip://fma_small/000/000002.mp3::fma_small.zip``, as fsspec does; an
archive named without a folder lies in that of downloads.

An address such as ``s3://bucket/music`` is read and written through fsspec; which store, and with which
key, the store's own variables say (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ... for S3).
"""

import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from overtone.core.errors import OvertoneError


class Member(NamedTuple):
    """A file in a zip archive: the archive's path, and the name of its entry."""

    archive: Path
    name: str


Location = Path | str | Member
"""A path, a file in an archive, or an address as text."""


def is_address(name: str) -> bool:
    """Whether a name is an object store's address and not a path."""
    return "://" in name and not name.startswith("file:")


def locate(folder: Path, name: str) -> Location:
    """A name from a table as a location: an address as it is, a path from the folder made absolute.

    ``file:`` and a path is what `written` gives.
    """
    if name.startswith("file:"):
        return Path(os.fsdecode(unquote_to_bytes(name.removeprefix("file://"))))
    if name.startswith("zip://"):
        entry, archive = name.removeprefix("zip://").split("::")
        path = Path(archive)
        return Member((path if path.name != archive else download_folder() / path).absolute(), entry)
    return name if is_address(name) else (folder / name).absolute()


def as_text(location: Location) -> str:
    """An absolute path or an address as a table holds it; a name that is no text, as a ``file:`` URI."""
    # Bytes that are no UTF-8 cannot be written, and a carriage return ends a row.
    name = str(location)
    return location.as_uri() if isinstance(location, Path) and not name.isprintable() else name


def download_folder() -> Path:
    """The folder of downloaded archives.

    It is no output of DVC: DVC deletes a stage's outputs before it runs, and gigabytes with them.
    """
    return Path(os.environ.get("OVERTONE_DOWNLOADS") or ".downloads")


def open_binary(path: Path) -> zipfile.ZipFile:
    """A zip archive, kept open by the process: reading a list of 106,574 entries takes about a second."""
    state = path.stat()
    return _opened(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, size: int, changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@contextmanager
def object_store(address: str, done: str = "read") -> Iterator[tuple[Any, str]]:
    """The file system of an address and the name in it; what goes wrong inside is one clear line.

    Args:
        address: in the store.
        done: what is done there, for that line: ``read`` or ``written``.

    Raises:
        OvertoneError: the protocol is not known here, or the store refuses or does not answer.
    """
    try:
        import fsspec

        yield fsspec.core.url_to_fs(address)
    except OvertoneError:
        raise
    except (ImportError, ValueError) as error:
        raise OvertoneError(f"{address} cannot be {done}: {error}; for s3:// pip install 's3fs'") from None
    # Every store has exceptions of its own, botocore's among them: none is a fault in this code.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise OvertoneError(
            f"{address} cannot be {done}: {said}; check the address and the store's key"
        ) from None


@contextmanager
def local_copy(location: Location) -> Iterator[Path]:
    """A file as a path to read from: itself, or a copy in the temporary folder that goes afterwards."""
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
            f"{member.archive} is not here, and clips are read from it; set OVERTONE_DOWNLOADS to its folder "
            "or run dvc repro --force --single-item download_fma"
        ) from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise OvertoneError(f"{member.archive}: {member.name} cannot be read ({error})") from None


def upload(path: Path, location: Path | str) -> None:
    """Copy a file to a path or an address, under its name there only when it is whole."""
    if isinstance(location, str):
        with object_store(location, "as_text") as (files, name):
            files.put_file(str(path), name)
        return
    part = location.with_name(f"{location.name}.{secrets.token_hex(4)}.part")
    try:
        location.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        part.replace(location)
    except OSError as error:
        raise OvertoneError(f"{location} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def read_range(location: Path | str, first: int, size: int) -> bytes:
    """So many bytes of a file, from the first on."""
    if isinstance(location, str):
        with object_store(location) as (files, name):
            read: bytes = files.cat_file(name, start=first, end=first + size)
            return read
    with location.open("rb") as file:
        file.seek(first)
        return file.read(size)


def list_below(address: str) -> list[tuple[str, int]]:
    """The addresses of all files below an address, sorted, with their bytes."""
    with object_store(address) as (files, name):
        found = files.find(name, detail=True)
        return sorted((str(files.unstrip_protocol(one)), int(about["size"])) for one, about in found.items())
