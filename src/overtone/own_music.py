"""A folder of one's own audio, described as FMA describes its archives; nothing is copied."""

import hashlib
from pathlib import Path

import pandas as pd
import soundfile

from overtone.errors import OvertoneError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")


def write_own_catalog(source: Path, folder: Path) -> None:
    """Write `tracks.csv`, shaped as FMA's, and `files.csv` for all audio below a folder.

    Tracks are numbered from 1 in the order of their paths. The artist is the file's tag, else the name
    of the folder that the file lies in. A file that does not open is listed all the same: the degrade
    stage leaves it out and says why. ``files.csv`` holds ``track_id``, the absolute ``path`` and the
    ``sha1`` of the file, so that a changed file is a changed output.

    Args:
        source: the folder to search, subfolders included.
        folder: where the two tables go.

    Raises:
        OvertoneError: there is no such folder, or no audio in it.
    """
    source = source.expanduser().resolve()
    if not source.is_dir():
        raise OvertoneError(f"download.folder is '{source}'; there is no such folder")
    paths = sorted(path for path in source.rglob("*") if _is_audio(path))
    if not paths:
        raise OvertoneError(
            f"download.folder is '{source}'; it holds no audio, a folder of {' '.join(SUFFIXES)} does"
        )
    ids = pd.RangeIndex(1, len(paths) + 1, name="track_id")
    rows = [_describe(path) for path in paths]
    tracks = pd.DataFrame(
        [list(row.values()) for row in rows], index=ids, columns=pd.MultiIndex.from_tuples(list(rows[0]))
    )
    # One artist may be tagged in two spellings; the same number keeps both in one split.
    names = tracks["artist", "name"].str.casefold()
    tracks["artist", "id"] = names.rank(method="dense").astype(int)
    tracks.sort_index(axis=1).to_csv(folder / "tracks.csv")
    files = [{"path": str(path), "sha1": _sha1(path)} for path in paths]
    pd.DataFrame(files, index=ids).to_csv(folder / "files.csv")


def _is_audio(path: Path) -> bool:
    # A leading dot is the mark of files that systems keep for themselves, such as macOS's ._song.mp3.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _describe(path: Path) -> dict[tuple[str, str], object]:
    """One file's row of tracks.csv, from its tags where it has any."""
    tags: dict[str, str] = {}
    duration = ""
    try:
        with soundfile.SoundFile(path) as file:
            tags = {key: " ".join(value.split()) for key, value in file.copy_metadata().items()}
            duration = f"{file.frames / file.samplerate:.2f}"
    except (soundfile.SoundFileError, UnicodeDecodeError):
        pass  # listed all the same, see above
    return {
        ("artist", "name"): tags.get("artist") or path.parent.name,
        ("set", "split"): "",
        ("set", "subset"): "folder",
        ("track", "duration"): duration,
        ("track", "genre_top"): tags.get("genre", ""),
        ("track", "license"): tags.get("license", ""),
        ("track", "title"): tags.get("title") or path.stem,
    }


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
