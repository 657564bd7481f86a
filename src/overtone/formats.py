"""List the suffixes of sound files, and constants of the two libraries that read them."""

from pathlib import PurePath

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"),
    *(".aifc", ".au", ".caf", ".mp2", ".oga", ".w64"),
)
# Sound that libsndfile does not read and FFmpeg does.
BY_FFMPEG = (
    *(".m4a", ".m4b", ".m4r", ".aac", ".wma", ".ape", ".wv", ".mpc", ".mp+", ".tta", ".tak", ".mka", ".amr"),
    *(".awb", ".ac3", ".eac3", ".ec3", ".dts", ".thd", ".mlp", ".dsf", ".dff", ".shn", ".ra", ".aa", ".oma"),
    *(".mp1", ".mpa", ".spx", ".snd", ".rf64", ".bwf", ".voc", ".f4a", ".qcp"),
)
# Films, of which the sound is read.
FILMS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".m2t", ".mpg"),
    *(".mpeg", ".vob", ".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".ogm", ".ogx", ".rm"),
    *(".rmvb", ".mxf", ".dv", ".wtv", ".nut", ".divx"),
)

# Formats that FFmpeg may open, by its names; playlists are left out, since they name other files.
FFMPEG_CONTAINERS = (
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "avi", "caf", "dsf", "eac3", "flac", "flv", "matroska"),
    *("mov", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "ogg", "tta", "voc", "w64", "wav", "wv"),
)
# Formats, by libsndfile's names, that it opens and misreads, and FFmpeg does not: of a VOC in several blocks
# it gives the headers between them as sound.
MISREAD = ("VOC",)
# The number of samples that libsndfile gives for FLAC written to a pipe, whose header has none.
UNKNOWN = (1 << 63) - 1


def is_sound(path: PurePath, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return whether a file's name is that of sound; hidden files, such as macOS's ._song.mp3, are not."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")
