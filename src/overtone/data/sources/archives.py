"""Unpack or list a zip archive: no file outside the target folder, each checked against its SHA-1."""

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from overtone.core import parallel
from overtone.core.disk_space import check_free_space
from overtone.core.errors import OvertoneError
from overtone.core.progress import open_bar
from overtone.core.storage import open_binary
from overtone.data.sources.http import BLOCK

OTHER_DISK = "make room, or set OVERTONE_DOWNLOADS to a folder on another disk"


def unpack(path: Path, folder: Path, only: str | None = None) -> None:
    """Unpack a zip archive without its top folder, checking each file against its ``checksums``.

    Files are unpacked in parallel, in batches (`overtone.core.parallel.run_all`).

    Args:
        path: the archive.
        folder: the target.
        only: the only file to unpack, None for all.

    Raises:
        OvertoneError: the archive is damaged, an entry is a link or would leave the folder, a file
            does not match its checksum or is missing, or there is too little disk.
    """
    with _naming_damage(path):
        with zipfile.ZipFile(path) as archive:
            entries, sums = _listed(path, archive)
            if only:
                if only not in entries:
                    raise OvertoneError(f"{path} lacks {only}; delete it, run again")
                entries = {only: entries[only]}
            total = sum(info.file_size for info in entries.values())
            check_free_space(folder, total, path.name, OTHER_DISK)
            work = (((name, info, sums.get(name)), info.file_size) for name, info in entries.items())
            target = folder.absolute()
            calls = [(path.absolute(), target, batch) for batch in parallel.group_by_size(work)]
        with open_bar(f"unpack {path.name}", total, "B") as bar:
            for count in parallel.run_all(_extract, calls, target):
                bar.update(count)


def list_clips(path: Path) -> dict[str, tuple[str, str]]:
    """List the files of an archive that its ``checksums`` name; nothing is unpacked.

    Returns:
        Name without the top folder -> (name of its entry, SHA-1).

    Raises:
        OvertoneError: the archive is damaged, an entry would leave the folder, or a file is missing.
    """
    with _naming_damage(path), zipfile.ZipFile(path) as archive:
        entries, sums = _listed(path, archive)
    return {name: (entries[name].filename, digest) for name, digest in sums.items()}


def _listed(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], dict[str, str]]:
    """Map names without the top folder to entries, and to the SHA-1 of those that have one."""
    entries = {_inside(path, info): info for info in archive.infolist() if not info.is_dir()}
    sums = {}
    if "checksums" in entries:
        lines = archive.read(entries["checksums"]).decode().splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    missing = sorted(sums.keys() - entries.keys())
    if missing:
        raise OvertoneError(f"{path} lacks {missing[0]} ({len(missing)} missing); delete it, run again")
    return entries, sums


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged archive into one line."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        # bz2 reports damage as an OSError without a number; one with a number is the disk's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OvertoneError(f"{path} does not unpack ({error}); delete it, run again") from None


def _extract(path: Path, folder: Path, entries: list[tuple[str, zipfile.ZipInfo, str | None]]) -> int:
    """Unpack entries, each (its new name, entry, SHA-1 or None), and return their bytes."""
    archive = open_binary(path)
    done = 0
    for name, info, wanted in entries:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha1()
        with archive.open(info) as packed, (folder / name).open("wb") as file:
            for block in read_blocks(packed):
                file.write(block)
                digest.update(block)
                done += len(block)
        if digest.hexdigest() != (wanted or digest.hexdigest()):
            raise OvertoneError(
                f"{path}: {name} does not match its line in checksums; delete the archive, run again"
            )
    return done


def _inside(path: Path, info: zipfile.ZipInfo) -> str:
    """Return an entry's name without the top folder; refuse one that could lead out of the target."""
    name = PurePosixPath(info.filename)
    leaves = name.is_absolute() or ".." in name.parts or "\\" in info.filename
    if leaves or PureWindowsPath(info.filename).drive or stat.S_ISLNK(info.external_attr >> 16):
        raise OvertoneError(f"{path}: its entry {info.filename!r} would leave the folder; do not trust it")
    return str(PurePosixPath(*name.parts[1:])) if len(name.parts) > 1 else str(name)


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a file in blocks."""
    while block := file.read(BLOCK):
        yield block
