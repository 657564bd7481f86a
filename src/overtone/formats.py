"""Which files are taken for sound when a folder is searched, and what libsndfile says of them."""

from pathlib import PurePath

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"),
    *(".aifc", ".au", ".caf", ".mp2", ".oga", ".w64"),
)
# Sound as well, which libsndfile does not read, and FFmpeg does: for `overtone restore`. The pipeline reads
# what libsndfile does, so that its stages do not depend on more.
BY_FFMPEG = (".m4a", ".m4b", ".aac", ".wma", ".ape", ".wv", ".mpc", ".tta", ".mka", ".amr", ".ac3")

# Samples that libsndfile says there are in FLAC written to a pipe, which does not know.
UNKNOWN = (1 << 63) - 1


def is_sound(path: PurePath, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file's name is that of sound; hidden ones, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")
