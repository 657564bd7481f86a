"""A folder of one's own audio, here or in an object store, described as FMA describes its archives.

Nothing is copied.
"""

import hashlib
import os
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import soundfile
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from overtone.core import parallel
from overtone.core.errors import OvertoneError
from overtone.core.storage import as_text, is_address, list_below, local_copy
from overtone.data.sources.http import Meter, Report
from overtone.formats import SUFFIXES, UNKNOWN, is_sound

Row = dict[tuple[str, str], str]


def write_own_catalog(source: str, folder: Path, report: Report | None = None) -> None:
    """Write `tracks.csv`, shaped as FMA's, and `files.csv` for all audio below a folder.

    Tracks are numbered from 1 in the order of their paths. The artist is the file's tag, else the name
    of the folder that the file lies in. Artists with a file in common, to the byte, count as one, so that it
    is never in two splits that keep artists together. A file that does not open is listed all the same: the
    degrade stage leaves it out and says why. ``files.csv`` holds ``track_id``, the absolute ``path`` or the
    address as `overtone.core.storage.as_text` gives it, and the ``sha1`` of the file, so that a changed file
    is a changed output.

    Args:
        source: the folder to search, subfolders included; or an object store's address.
        folder: where the two tables go.
        report: called with the progress.

    Raises:
        OvertoneError: there is no such folder, or no audio in it, or the store cannot be read.
    """
    if not is_address(source):
        source = str(Path(source).expanduser().resolve())
    found = _audio(source)
    if not found:
        raise OvertoneError(
            f"download.folder is '{source}'; it holds no audio, a folder of {' '.join(SUFFIXES)} does"
        )
    meter = Meter("read own music", sum(size for _, size in found), report)
    files, rows = [], []
    for batch in parallel.run_all(_describe, [(batch,) for batch in parallel.group_by_size(found)]):
        for size, file, row in batch:
            files.append(file)
            rows.append(row)
            meter.add(size)
    ids = pd.RangeIndex(1, len(found) + 1, name="track_id")
    tracks = pd.DataFrame(
        [list(row.values()) for row in rows], index=ids, columns=pd.MultiIndex.from_tuples(list(rows[0]))
    )
    listed = pd.DataFrame(files, index=ids)
    # One artist may be tagged in two spellings; the same number keeps both in one split.
    names = tracks["artist", "name"].str.normalize("NFC").str.casefold()
    tracks["artist", "id"] = _together(names, listed["sha1"])
    tracks.sort_index(axis=1).to_csv(folder / "tracks.csv")
    listed.to_csv(folder / "files.csv")


def _together(names: pd.Series, digests: pd.Series) -> np.ndarray:
    """A number from 1 on for each file's artist, the same where artists or digests are linked."""
    artist, artists = pd.factorize(names, sort=True)
    digest, _ = pd.factorize(digests)
    nodes = len(artists) + len(names)
    links = coo_array((np.ones(len(names)), (artist, len(artists) + digest)), shape=(nodes, nodes))
    _, number = connected_components(links, directed=False)
    found: np.ndarray = number[artist] + 1
    return found


def _audio(source: str) -> list[tuple[Path | str, int]]:
    """The audio files below a folder or an address, sorted, with their bytes."""
    if is_address(source):
        return [(name, size) for name, size in list_below(source) if is_sound(PurePath(name))]
    if not Path(source).is_dir():
        raise OvertoneError(f"download.folder is '{source}'; there is no such folder")
    paths = sorted(path for path in Path(source).rglob("*") if is_sound(path) and path.is_file())
    return [(path, path.stat().st_size) for path in paths]


def _describe(places: list[Path | str]) -> list[tuple[int, dict[str, str], Row]]:
    """Each file's bytes, and its rows of files.csv and tracks.csv."""
    described = []
    for place in places:
        with local_copy(place) as path:
            file = {"path": as_text(place), "sha1": _sha1(path)}
            described.append((path.stat().st_size, file, _row(PurePath(str(place)), path)))
    return described


def _row(name: PurePath, path: Path) -> Row:
    """One file's row of tracks.csv, from its tags where it has any, else from its name."""
    tags: dict[str, str] = {}
    duration = ""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            tags = {key: " ".join(value.split()) for key, value in file.copy_metadata().items()}
            if file.frames < UNKNOWN:
                duration = f"{file.frames / file.samplerate:.2f}"
    except (soundfile.SoundFileError, UnicodeDecodeError):
        pass  # listed all the same, see above
    return {
        ("artist", "name"): tags.get("artist") or _text(name.parent.name),
        ("set", "split"): "",
        ("set", "subset"): "folder",
        ("track", "duration"): duration,
        ("track", "genre_top"): tags.get("genre", ""),
        ("track", "license"): tags.get("license", ""),
        ("track", "title"): tags.get("title") or _text(name.stem),
    }


def _text(name: str) -> str:
    """A file's name on one line, with a mark for every byte that is no UTF-8."""
    return " ".join(os.fsencode(name).decode(errors="replace").split())


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
