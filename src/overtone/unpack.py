"""A zip archive becomes files, none outside the folder they belong in, each checked against its SHA-1."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from overtone import parallel
from overtone.download import BLOCK, Meter, Report, size
from overtone.errors import OvertoneError


def unpack(path: Path, folder: Path, only: str | None = None, report: Report | None = None) -> None:
    """Unpack a zip archive without its top folder, checking each file against its ``checksums``.

    Its files are the work of `parallel.each`, in batches.

    Args:
        path: the archive.
        folder: where its files go.
        only: the one file to take, None for all.
        report: called with the progress.

    Raises:
        OvertoneError: the archive is damaged, an entry is a link or would leave the folder, a file
            does not match its checksum or is missing, or there is too little disk.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {_inside(path, info): info for info in archive.infolist() if not info.is_dir()}
            sums = {}
            if "checksums" in entries:
                lines = archive.read(entries["checksums"]).decode().splitlines()
                sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
            if only:
                entries = {name: info for name, info in entries.items() if name == only}
                sums = {name: sums[name] for name in entries if name in sums}
            missing = [only] if only and not entries else sorted(sums.keys() - entries.keys())
            if missing:
                raise OvertoneError(
                    f"{path} lacks {missing[0]} ({len(missing)} missing); delete it, run again"
                )
            total = sum(info.file_size for info in entries.values())
            check_free(folder, total, path.name)
            meter = Meter(f"unpack {path.name}", total, report)
            work = (((name, info, sums.get(name)), info.file_size) for name, info in entries.items())
            to = folder.absolute()
            calls = [(path.absolute(), to, batch) for batch in parallel.batches(work)]
        for count in parallel.each(_extract, calls, to):
            meter.add(count)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        # bz2 reports damage as an OSError without a number; one with a number is the disk's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OvertoneError(f"{path} does not unpack ({error}); delete it, run again") from None


def _extract(path: Path, folder: Path, entries: list[tuple[str, zipfile.ZipInfo, str | None]]) -> int:
    """Unpack some entries, each (name to give it, entry, SHA-1 or None), and return their bytes."""
    state = path.stat()
    archive = _opened(path, state.st_size, state.st_mtime_ns)
    done = 0
    for name, info, wanted in entries:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha1()
        with archive.open(info) as packed, (folder / name).open("wb") as file:
            for block in blocks(packed):
                file.write(block)
                digest.update(block)
                done += len(block)
        if digest.hexdigest() != (wanted or digest.hexdigest()):
            raise OvertoneError(
                f"{path}: {name} does not match its line in checksums; delete the archive, run again"
            )
    return done


@lru_cache(maxsize=1)
def _opened(path: Path, size: int, changed: int) -> zipfile.ZipFile:
    """An archive, kept open by the process: reading a list of 106,574 entries takes about a second."""
    return zipfile.ZipFile(path)


def _inside(path: Path, info: zipfile.ZipInfo) -> str:
    """An entry's name without the top folder, refused where it could lead out of the target."""
    name = PurePosixPath(info.filename)
    leaves = name.is_absolute() or ".." in name.parts or "\\" in info.filename
    if leaves or PureWindowsPath(info.filename).drive or stat.S_ISLNK(info.external_attr >> 16):
        raise OvertoneError(f"{path}: its entry {info.filename!r} would leave the folder; do not trust it")
    return str(PurePosixPath(*name.parts[1:])) if len(name.parts) > 1 else str(name)


def check_free(disk: Path, need: int, what: str) -> None:
    """Raise unless the disk of a folder has so many bytes free."""
    free = shutil.disk_usage(disk).free
    if free < need:
        raise OvertoneError(
            f"the disk of {disk.resolve()} has {size(free)} free, {what} needs {size(need)}; "
            "make room, or set OVERTONE_DOWNLOADS to a folder on another disk"
        )


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of a file, a block at a time."""
    while block := file.read(BLOCK):
        yield block
