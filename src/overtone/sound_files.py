"""Which files are taken for sound when a folder is searched."""

from pathlib import PurePath

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")
# Sound as well, but none that libsndfile reads.
UNREAD = (".m4a", ".aac", ".wma", ".ape", ".wv", ".mpc", ".amr", ".ac3")


def is_sound(path: PurePath, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file's name is that of sound; hidden ones, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")
