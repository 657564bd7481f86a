"""List the suffixes of sound files, and constants of the two libraries that read them."""

from pathlib import PurePath

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"),
    *(".aifc", ".au", ".caf", ".mp2", ".oga", ".w64"),
)
# Sound that libsndfile does not read and FFmpeg does.
BY_FFMPEG = (".m4a", ".m4b", ".aac", ".wma", ".ape", ".wv", ".mpc", ".tta", ".mka", ".amr", ".ac3")
# Films, of which the pipeline reads the sound.
FILMS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".3gp"),
)

FFMPEG_CONTAINERS = (
    *(
        "aac",
        "ac3",
        "aiff",
        "amr",
        "ape",
        "asf",
        "avi",
        "caf",
        "dsf",
        "eac3",
        "flac",
        "flv",
        "matroska",
        "mov",
    ),
    *("mp3", "mpc", "mpc8", "mpeg", "mpegts", "ogg", "tta", "w64", "wav", "wv"),
)
"""Formats that FFmpeg may open, by its names; playlists are left out, since they name other files."""

UNKNOWN = (1 << 63) - 1
"""Number of samples that libsndfile gives for FLAC written to a pipe, whose header has none."""


def is_sound(path: PurePath, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return whether a file's name is that of sound; hidden files, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")
