"""Sound that libsndfile does not read, such as M4A, WMA and that of films: by FFmpeg, which PyAV brings.

PyAV is loaded with this module, which is why it is imported only when it is needed.
"""

import threading
from collections.abc import Generator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile

from overtone.formats import UNKNOWN
from overtone.restoration.stream.fifo import Fifo

# By FFmpeg's names, and whether their headers know the length; it is estimated for the others. Formats that
# libsndfile reads are left out: what it refuses is damaged. So are playlists, which name other files.
FORMATS = {
    "aac": False,
    "ac3": False,
    "amr": False,
    "ape": True,
    "asf": False,
    "eac3": False,
    "matroska": True,
    "mov": True,
    "mpc": True,
    "mpc8": True,
    "tta": True,
    "wv": True,
}


class Unreadable(soundfile.SoundFileError):  # type: ignore[misc]
    """FFmpeg does not read a file; ``error_string`` is what it says, or empty."""

    def __init__(self, error_string: str) -> None:
        super().__init__(error_string)
        self.error_string = error_string


class _Raw:
    """An open file as FFmpeg wants it: that it cannot seek where damage sends it is no exception."""

    def __init__(self, raw: BinaryIO) -> None:
        self.read, self.tell, self._seek = raw.read, raw.tell, raw.seek

    def seek(self, offset: int, whence: int) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            return -1


class FFmpegFile:
    """The sound of a file, read from beginning to end; as much of a ``soundfile.SoundFile`` as that takes.

    Args:
        raw: the open file. Where there is more than one soundtrack, FFmpeg's choice of them is read.

    Raises:
        Unreadable: it is not of these formats, or there is no sound in it.
    """

    extra_info = format = ""

    def __init__(self, raw: BinaryIO) -> None:
        # Closing waits for a thread that reads.
        self._lock = threading.Lock()
        try:
            self._container = av.open(
                _Raw(raw),
                "r",
                container_options={"format_whitelist": ",".join(FORMATS)},
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError):
            # It says only that an argument or the data are invalid.
            raise Unreadable("") from None
        stream = self._container.streams.best("audio")
        # Without a context it is of a codec that FFmpeg does not know.
        if (
            not isinstance(stream, av.AudioStream)
            or not stream.codec_context
            or not (stream.rate and stream.channels)
        ):
            self._container.close()
            raise Unreadable("there is no sound in it that FFmpeg knows")
        self._stream = stream
        self.samplerate, self.channels = stream.rate, stream.channels
        self.frames = UNKNOWN
        if any(FORMATS.get(name) for name in self._container.format.name.split(",")):
            seconds = (stream.duration or 0) * (stream.time_base or 0)
            # Matroska knows how long all is, of which sound may be the shorter part.
            if not seconds and len(self._container.streams) == 1:
                seconds = Fraction(self._container.duration or 0, av.time_base)
            self.frames = round(seconds * stream.rate) or UNKNOWN
        self._decoded = self._decode()
        self._waiting = Fifo(self.channels)
        self._fault: Unreadable | None = None

    def read(self, frames: int, **_: Any) -> np.ndarray:
        """The next samples, (time, channels) float32; fewer than asked for at the end alone.

        Raises:
            Unreadable: they do not decode; those before them have been given.
        """
        with self._lock:
            try:
                while self._waiting.size < frames and (block := next(self._decoded, None)) is not None:
                    self._waiting.append(block)
            except Unreadable as fault:
                self._fault = fault
            if self._fault and not self._waiting.size:
                raise self._fault
            return self._waiting.take(frames).T

    def copy_metadata(self) -> dict[str, str]:
        """The tags by FFmpeg's names: soundfile's, but for the case of some and the number of the track."""
        return {name.lower(): value for name, value in self._container.metadata.items()}

    def __enter__(self) -> "FFmpegFile":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._decoded.close()
            self._container.close()

    def _decode(self) -> Generator[np.ndarray, None, None]:
        """Yield (channels, time) blocks.

        An encoder fills its last packet up. MP4 says how long that is; what is too much is cut off.
        """
        to_float, done = av.AudioResampler(format="fltp"), 0
        first: int | None = None
        end: int | None = None
        held: np.ndarray = np.zeros((self.channels, 0), np.float32)
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.duration:
                    end = packet.pts + packet.duration
                for frame in packet.decode():
                    if (frame.rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
                        raise Unreadable("its rate or number of channels changes there")
                    first = frame.pts if first is None else first
                    for converted in to_float.resample(frame):
                        yield held
                        done += held.shape[1]
                        held = converted.to_ndarray()
        except (av.FFmpegError, ValueError, Unreadable) as error:
            yield held
            raise Unreadable(str(getattr(error, "strerror", None) or error)) from None
        exact = self._stream.time_base == Fraction(1, self.samplerate)
        if exact and first is not None and end is not None:
            held = held[:, : max(end - first - done, 0)]
        yield held
