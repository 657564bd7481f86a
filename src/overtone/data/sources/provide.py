"""Provide music: a bundled archive, archives of the Free Music Archive (FMA), or a folder of one's own."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from overtone.core import atomic, params
from overtone.core.disk_space import check_free_space
from overtone.core.dvc_cache import MOVE_CACHE, find_second_copy
from overtone.core.errors import OvertoneError
from overtone.core.progress import open_bar
from overtone.core.storage import download_folder
from overtone.data.sources.archives import OTHER_DISK, list_clips, read_blocks, unpack
from overtone.data.sources.folder import write_own_catalog
from overtone.data.sources.http import download

if sys.platform != "win32":
    import fcntl

BUNDLE = Path("data/bundle")
SOURCE = "source.json"
"""The file, written last, that names the content of its folder; a folder without it is not complete."""


@dataclass(frozen=True)
class Archive:
    """A zip archive of known content.

    Args:
        name: its file name, in `BUNDLE` or under FMA's base address.
        sha1: the SHA-1 of the whole file, in hex.
        size: bytes; about the same unpacked, because MP3 does not compress further. For the check
            of free disk alone.
        bundled: it lies in the repository.
        only: the only file to unpack, None for all.
    """

    name: str
    sha1: str
    size: int
    bundled: bool = False
    only: str | None = None


_METADATA = Archive(
    "fma_metadata.zip", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733", 342 << 20, only="tracks.csv"
)
_MINI_METADATA = Archive(
    "fma_mini_metadata.zip", "1c78d5dead9875029adf16362e28efd7fefb60cc", 4140, bundled=True, only="tracks.csv"
)
_MINI = Archive("fma_mini.zip", "22b4c5f09800fe9d3e9ce3fc016a7ea9738542c0", 16_809_452, bundled=True)
_SMALL = Archive("fma_small.zip", "ade154f733639d52e35e32f5593efe5be76c6d70", int(7.2 * 2**30))
_MEDIUM = Archive("fma_medium.zip", "c67b69ea232021025fca9231fc1c7c1a063ab50b", 22 << 30)
_LARGE = Archive("fma_large.zip", "497109f4dd721066b5ce5e5f250ec604dc78939e", 93 << 30)
_FULL = Archive("fma_full.zip", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", 879 << 30)

SUBSETS = {
    "mini": (_MINI, _MINI_METADATA),
    "small": (_SMALL, _METADATA),
    "medium": (_MEDIUM, _METADATA),
    "large": (_LARGE, _METADATA),
    "full": (_FULL, _METADATA),
}


@dataclass(frozen=True)
class DownloadSettings:
    """The group ``download`` of params.yaml: which music to use.

    Args:
        subset: mini (bundled), small, medium, large or full; unused where a folder is given.
        folder: a folder of one's own audio or its address in an object store (``s3://bucket/music``),
            None for the subset.
        unpack: whether archives are unpacked; with false, clips are read out of the archives.
    """

    subset: str
    folder: str | None
    unpack: bool = True

    def __post_init__(self) -> None:
        params.check_choice("download.subset", self.subset, SUBSETS)
        params.check(self.folder != "", "download.folder", self.folder, "the path of a folder, or null")


def provide(settings: DownloadSettings, target: Path) -> bool:
    """Fill a folder with music and its `tracks.csv`; return whether there was anything to do.

    The folder is written under a temporary name, so it is complete or not there. An archive becomes
    ``NNN/NNNNNN.mp3``, ``checksums`` and ``README.txt``; one that is not unpacked and a folder of one's own
    are not copied, and ``files.csv`` lists their files.

    Args:
        settings: the group ``download``.
        target: the folder to write; an earlier one is replaced.

    Raises:
        OvertoneError: the music is not available, is damaged, or does not fit on the disk.
    """
    try:
        if settings.folder is None:
            return provide_archives(settings.subset, SUBSETS[settings.subset], target, settings.unpack)
        with _replacing_folder(target) as folder:
            write_own_catalog(settings.folder, folder)
            _write_source(folder, {"subset": "folder"})
        return True
    except OSError as error:
        raise OvertoneError(
            f"{error.filename or target}: {error.strerror or error}; put that right, run again"
        ) from error


def provide_archives(subset: str, archives: tuple[Archive, ...], target: Path, unpacked: bool = True) -> bool:
    """Download, verify and unpack archives; do nothing where the target holds these already.

    With ``unpacked`` false, archives with an ``only`` file are unpacked, and the clips of the others listed.
    """
    source: dict[str, object] = {
        "subset": subset,
        "archives": {archive.name: archive.sha1 for archive in archives},
    }
    if not unpacked:
        source["unpacked"] = False
    if (target / SOURCE).exists() and json.loads((target / SOURCE).read_text()) == source:
        return False
    _check_disk(archives, target, unpacked)
    with _replacing_folder(target) as folder:
        for archive in archives:
            with _lock_folder(archive):
                path = _verified(archive)
            if archive.only or unpacked:
                unpack(path, folder, archive.only)
            else:
                _write_files(folder / "files.csv", archive, path)
        _write_source(folder, source)
    return True


def _verified(archive: Archive) -> Path:
    """Return the path of an archive, downloaded if need be, whose SHA-1 is right."""
    path = part = _path(archive)
    if archive.bundled and not path.exists():
        raise OvertoneError(f"{path} is missing; it is in the repository: git checkout {path}")
    if not path.exists():
        base = os.environ.get("OVERTONE_FMA_URL") or "https://os.unil.cloud.switch.ch/fma/"
        part = path.with_name(path.name + ".part")
        download(f"{base.rstrip('/')}/{archive.name}", part)
    digest = hashlib.sha1()
    with part.open("rb") as file, open_bar(f"verify {archive.name}", part.stat().st_size, "B") as bar:
        for block in read_blocks(file):
            digest.update(block)
            bar.update(len(block))
    if digest.hexdigest() != archive.sha1:
        fault = f"{part} has SHA-1 {digest.hexdigest()}, it should be {archive.sha1}"
        if archive.bundled:
            raise OvertoneError(f"{fault}; restore it: git checkout {path}")
        part.unlink()
        raise OvertoneError(f"{fault}; it is removed: run again to download it again")
    return part.replace(path)


@contextmanager
def _lock_folder(archive: Archive) -> Iterator[None]:
    """Wait while another process downloads into the same folder, as an experiment beside this one may."""
    if archive.bundled or sys.platform == "win32":
        yield
        return
    downloads = _path(archive).parent
    downloads.mkdir(parents=True, exist_ok=True)
    folder = os.open(downloads, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # releases the lock, as does the end of the process, however it comes


def _path(archive: Archive) -> Path:
    """Return the path where an archive lies, or will."""
    return (BUNDLE if archive.bundled else download_folder()) / archive.name


def _write_files(table: Path, archive: Archive, path: Path) -> None:
    """List the clips of a verified archive in a table, as `overtone.core.storage` names them.

    A downloaded archive is listed without its folder, so that the table does not depend on that folder.
    """
    name = str(path) if archive.bundled else archive.name
    rows = [
        {"track_id": int(Path(clip).stem), "path": f"zip://{entry}::{name}", "sha1": digest}
        for clip, (entry, digest) in list_clips(path).items()
        if clip.endswith(".mp3")
    ]
    pd.DataFrame(rows).sort_values("track_id").to_csv(table, index=False)


def _check_disk(archives: tuple[Archive, ...], target: Path, unpacked: bool) -> None:
    """Raise unless there is room for what must be downloaded, for what is unpacked, and for DVC's copy."""
    folder, content = target.parent, " and ".join(archive.name for archive in archives)
    folder.mkdir(parents=True, exist_ok=True)
    size = sum(archive.size for archive in archives if unpacked or archive.only)
    wanted = [(folder, size)]
    for archive in archives:
        path = _path(archive)
        if archive.bundled or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        there = part.stat().st_size if part.exists() else 0
        wanted.append((path.parent, max(archive.size - there, 0)))
    if copy := find_second_copy(folder):
        wanted.append((copy, size))
        content += f" and {target} in DVC's cache"
    needs: dict[int, tuple[Path, int]] = {}
    for disk, need in wanted:
        first, before = needs.get(disk.stat().st_dev, (disk, 0))
        needs[disk.stat().st_dev] = first, before + need
    for disk, need in needs.values():
        check_free_space(disk, need, content, f"{OTHER_DISK}; {MOVE_CACHE}" if copy else OTHER_DISK)


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to the target at the end, delete it on an error."""
    folder = target.with_name(target.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_source(folder: Path, source: Mapping[str, object]) -> None:
    atomic.write_json(source, folder / SOURCE)
