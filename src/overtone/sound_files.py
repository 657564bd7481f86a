"""Which files are taken for sound when a folder is searched."""

from pathlib import PurePath

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")


def is_sound(path: PurePath) -> bool:
    """Whether a file's name is that of sound; hidden ones, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
