"""Name the formats that FFmpeg may read for overtone, and a file's channels, by FFmpeg's names."""

from pathlib import Path

import av

# Formats whose headers know the length of the sound, by FFmpeg's names.
KNOWN_LENGTH = {
    *("ape", "avi", "caf", "dsf", "iff", "matroska", "mov", "mpc", "mpc8", "tak", "tta", "wv", "flac", "oma"),
    *("wav", "w64", "aiff", "au", "voc", "mxf"),
}
# Formats without a header: frames lie behind each other, and what lies between them is damage.
# AMR without a header is none of them: FFmpeg takes text of the right line length for it.
RAW = {"aac", "ac3", "amr", "dts", "eac3"}
# Formats that are cut out of a broadcast: they begin and end inside a frame, and their clock may jump.
BROADCAST = {"mpegts", "mpeg", "flv"}
# Others that are read. Playlists, which name other files, and pictures are not.
OTHERS = {
    *("asf", "dtshd", "gxf", "loas", "mlp", "mp3", "nut", "nsv", "ogg", "qcp", "rm", "shn", "swf", "truehd"),
    *("wtv", "xwma", "dv", "amv", "aa", "act", "aea", "bonk", "osq", "wsd", "spdif", "sol", "smk", "gsm"),
}
FORMATS = KNOWN_LENGTH | RAW | BROADCAST | OTHERS


def speakers(path: Path) -> list[str]:
    """Return FFmpeg's names of a file's channels, in the file's order; none if it does not know them."""
    try:
        with av.open(
            str(path), container_options={"format_whitelist": ",".join(sorted(FORMATS))}
        ) as container:
            return [channel.name for channel in container.streams.audio[0].layout.channels]
    except (av.FFmpegError, ValueError, IndexError):
        return []
