"""List a folder of one's own audio, local or in an object store, in tables shaped as FMA's.

Nothing is copied.
"""

import hashlib
import os
from pathlib import Path, PurePath

import av
import numpy as np
import pandas as pd
import soundfile
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from overtone.core import parallel
from overtone.core.errors import OvertoneError
from overtone.core.progress import open_bar
from overtone.core.storage import as_text, is_address, list_below, local_copy
from overtone.formats import BY_FFMPEG, FFMPEG_CONTAINERS, FILMS, SUFFIXES, UNKNOWN, is_sound

Row = dict[tuple[str, str], str]

SEARCHED = SUFFIXES + BY_FFMPEG + FILMS


def write_own_catalog(source: str, folder: Path) -> None:
    """Write `tracks.csv`, shaped as FMA's, and `files.csv` for all audio below a folder.

    Tracks are numbered from 1 in the order of their paths. The artist is the file's tag, else the name of its
    folder. Artists with an identical file in common count as one, so that the file is never in two splits
    that keep artists together. A file that does not open is listed, too: the degrade stage leaves it out with
    the reason. ``files.csv`` holds ``track_id``, the absolute ``path`` or the address as
    `overtone.core.storage.as_text` gives it, and the ``sha1`` of the file, so that a changed file is a
    changed output.

    Args:
        source: the folder to search, subfolders included; or an object store's address.
        folder: where the two tables are written.

    Raises:
        OvertoneError: there is no such folder, or no audio in it, or the store cannot be read.
    """
    if not is_address(source):
        source = str(Path(source).expanduser().resolve())
    found = _list_audio(source)
    if not found:
        raise OvertoneError(f"download.folder is '{source}'; it holds no file of {' '.join(SEARCHED)}")
    files, rows = [], []
    calls = [(batch,) for batch in parallel.group_by_size(found)]
    with open_bar("read own music", sum(size for _, size in found), "B") as bar:
        for batch in parallel.run_all(_describe, calls):
            for size, file, row in batch:
                files.append(file)
                rows.append(row)
                bar.update(size)
    ids = pd.RangeIndex(1, len(found) + 1, name="track_id")
    tracks = pd.DataFrame(
        [list(row.values()) for row in rows], index=ids, columns=pd.MultiIndex.from_tuples(list(rows[0]))
    )
    listed = pd.DataFrame(files, index=ids)
    # One artist may be tagged in two spellings; the same number keeps both in one split.
    names = tracks["artist", "name"].str.normalize("NFC").str.casefold()
    tracks["artist", "id"] = _number_artists(names, listed["sha1"])
    tracks.sort_index(axis=1).to_csv(folder / "tracks.csv")
    listed.to_csv(folder / "files.csv")


def _number_artists(names: pd.Series, digests: pd.Series) -> np.ndarray:
    """Number the files' artists from 1 on; artists linked by a common file get the same number."""
    artist, artists = pd.factorize(names, sort=True)
    digest, _ = pd.factorize(digests)
    nodes = len(artists) + len(names)
    links = coo_array((np.ones(len(names)), (artist, len(artists) + digest)), shape=(nodes, nodes))
    _, number = connected_components(links, directed=False)
    found: np.ndarray = number[artist] + 1
    return found


def _list_audio(source: str) -> list[tuple[Path | str, int]]:
    """List the audio files below a folder or an address, sorted, with their bytes."""
    if is_address(source):
        return [(name, size) for name, size in list_below(source) if is_sound(PurePath(name), SEARCHED)]
    if not Path(source).is_dir():
        raise OvertoneError(f"download.folder is '{source}'; there is no such folder")
    paths = sorted(path for path in Path(source).rglob("*") if is_sound(path, SEARCHED) and path.is_file())
    return [(path, path.stat().st_size) for path in paths]


def _describe(locations: list[Path | str]) -> list[tuple[int, dict[str, str], Row]]:
    """Return each file's bytes, and its rows of files.csv and tracks.csv."""
    described = []
    for location in locations:
        with local_copy(location) as path:
            file = {"path": as_text(location), "sha1": _sha1(path)}
            described.append((path.stat().st_size, file, _row(PurePath(str(location)), path)))
    return described


def _row(name: PurePath, path: Path) -> Row:
    """Describe a file in a row of tracks.csv: by its tags, or by its name where it has none."""
    try:
        tags, seconds = _read_tags(path)
    except (soundfile.SoundFileError, UnicodeDecodeError):
        tags, seconds = _read_tags_by_ffmpeg(path)
    tags = {key: " ".join(value.split()) for key, value in tags.items()}
    duration = "" if seconds is None else f"{seconds:.2f}"
    return {
        ("artist", "name"): tags.get("artist") or _text(name.parent.name),
        ("set", "split"): "",
        ("set", "subset"): "folder",
        ("track", "duration"): duration,
        ("track", "genre_top"): tags.get("genre", ""),
        ("track", "license"): tags.get("license", ""),
        ("track", "title"): tags.get("title") or _text(name.stem),
    }


def _read_tags(path: Path) -> tuple[dict[str, str], float | None]:
    """Read the tags and the length in seconds, None where the header has none, by libsndfile."""
    with soundfile.SoundFile(os.fsencode(path)) as file:
        return file.copy_metadata(), file.frames / file.samplerate if file.frames < UNKNOWN else None


def _read_tags_by_ffmpeg(path: Path) -> tuple[dict[str, str], float | None]:
    """Read the same by FFmpeg; nothing of a file that FFmpeg does not open."""
    options = {"format_whitelist": ",".join(FFMPEG_CONTAINERS)}
    try:
        with av.open(os.fsdecode(path), container_options=options, metadata_errors="replace") as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            return tags, container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, ValueError):
        return {}, None


def _text(name: str) -> str:
    """Return a file's name on one line, with a mark for every byte that is no UTF-8."""
    return " ".join(os.fsencode(name).decode(errors="replace").split())


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
