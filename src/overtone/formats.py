"""Name the files that are sound when a folder is searched, and what libsndfile says of them."""

from pathlib import PurePath

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"),
    *(".aifc", ".au", ".caf", ".mp2", ".oga", ".w64"),
)
# Sound and films as well, which libsndfile does not read, and FFmpeg does: for `overtone restore`. The
# pipeline reads what libsndfile does, so that its stages do not depend on more.
BY_FFMPEG = (
    *(".m4a", ".m4b", ".m4r", ".aac", ".wma", ".ape", ".wv", ".mpc", ".mp+", ".tta", ".tak", ".mka", ".amr"),
    *(".awb", ".ac3", ".eac3", ".ec3", ".dts", ".thd", ".mlp", ".dsf", ".dff", ".shn", ".ra", ".aa", ".oma"),
    *(".mp1", ".mpa", ".spx", ".snd", ".rf64", ".bwf", ".voc", ".f4a", ".qcp", ".mp4", ".m4v", ".mov", ".qt"),
    *(".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".m2t", ".mpg", ".mpeg", ".vob", ".flv"),
    *(".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".ogm", ".ogx", ".rm", ".rmvb", ".mxf", ".dv", ".wtv"),
    *(".nut", ".divx"),
)

# Samples that libsndfile says there are in FLAC written to a pipe, which does not know.
UNKNOWN = (1 << 63) - 1


def is_sound(path: PurePath, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file's name is that of sound; hidden ones, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")
