"""Read the sound of files that libsndfile does not know, such as M4A and films, with FFmpeg (PyAV)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from overtone.core.errors import OvertoneError
from overtone.formats import FFMPEG_CONTAINERS


class FFmpegFile:
    """The first sound track of a file, read from beginning to end.

    It has what `overtone.audio.soundfiles.read_chunks` uses of ``soundfile.SoundFile``.

    Attributes:
        samplerate: in Hz.
        channels: their number.

    Raises:
        OvertoneError: FFmpeg does not open the file, or there is no sound in it; the message is a few words
            without the path.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            self._container = av.open(
                os.fsdecode(path),
                container_options={"format_whitelist": ",".join(FFMPEG_CONTAINERS)},
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError) as error:
            raise OvertoneError(_reason(error)) from None
        stream = next(iter(self._container.streams.audio), None)
        if stream is None or not stream.codec_context or not (stream.rate and stream.channels):
            self._container.close()
            raise OvertoneError("no sound in it")
        self._stream = stream
        self.samplerate, self.channels = stream.rate, stream.channels
        self._blocks = self._decode()
        self._rest = np.zeros((0, self.channels), np.float32)

    def read(self, frames: int, **_: Any) -> np.ndarray:
        """Read (time, channels) float32; fewer than asked for at the end only.

        Raises:
            OvertoneError: the sound does not decode.
        """
        blocks, size = [self._rest], len(self._rest)
        while size < frames and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            size += len(block)
        samples = np.concatenate(blocks)
        self._rest = samples[frames:]
        return samples[:frames]

    def __enter__(self) -> "FFmpegFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _decode(self) -> Iterator[np.ndarray]:
        """Yield (time, channels) blocks."""
        convert = av.AudioResampler(format="fltp")
        try:
            for frame in self._container.decode(self._stream):
                if (frame.rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
                    raise OvertoneError("its rate or number of channels changes")
                for block in convert.resample(frame):
                    yield block.to_ndarray().T
        except (av.FFmpegError, ValueError) as error:
            raise OvertoneError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
