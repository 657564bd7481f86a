"""Read and write audio files: float32 arrays shaped (channels, time), full scale at 1."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import soundfile

from overtone.core.errors import OvertoneError
from overtone.formats import MISREAD

if TYPE_CHECKING:
    from overtone.audio.ffmpeg import FFmpegFile


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file read from beginning to end.

    soundfile seeks after every read of a seekable file, which fails on FLAC of unknown length.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek."""
        return False


SoundFile = Union[ForwardFile, "FFmpegFile"]


def open_file(path: str | Path) -> SoundFile:
    """Open a file by libsndfile, or by FFmpeg where libsndfile does not know it.

    Raises:
        OvertoneError: neither opens it; the message has both reasons.
    """
    if os.path.exists(path) and not os.path.getsize(path):
        raise OvertoneError(f"{path} is empty: it has 0 bytes")
    try:
        # soundfile accepts names that are no valid UTF-8 only as bytes.
        file = ForwardFile(os.fsencode(path))
        if file.format not in MISREAD:
            return file
        file.close()
        said = f"libsndfile misreads {file.format}"
    except soundfile.LibsndfileError as error:
        said = error.error_string.rstrip(".")
        if os.path.exists(path) and "does not exist" in said:
            said = "Format not recognised"  # libsndfile's word on an .mp3 without frames
    from overtone.audio.ffmpeg import FFmpegFile  # loads PyAV

    try:
        return FFmpegFile(path)
    except OvertoneError as reason:
        raise OvertoneError(f"{path} does not decode: {said}; FFmpeg: {reason}") from None


def read_chunks(path: str | Path, seconds: int, context: int) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Read a file in chunks of bounded length, each with context around it.

    Memory does not grow with the file's length: chunk ``n`` holds the seconds from ``n * seconds`` on, with
    up to ``context`` seconds before and after it, so that a filter gives there what it gives on the complete
    file.

    Yields:
        (samples, rate, before, after): samples (channels, time) with the context, the rate in Hz, and the
        numbers of context samples at both ends.

    Raises:
        OvertoneError: the file does not decode, or holds no samples.
    """
    with open_file(path) as file:
        rate, length, margin = file.samplerate, seconds * file.samplerate, context * file.samplerate
        held = _read(file, path, length + margin)
        if not len(held):
            raise OvertoneError(f"{path} holds no samples")
        before = 0
        while True:
            after = max(0, len(held) - before - length)
            yield np.ascontiguousarray(held.T), rate, before, after
            if not after:
                return
            # The next chunk starts where the samples of this one end; its context is kept.
            kept = held[max(0, before + length - margin) :]
            before = min(margin, before + length)
            held = np.concatenate([kept, _read(file, path, before + length + margin - len(kept))])


def _read(file: SoundFile, path: str | Path, frames: int) -> np.ndarray:
    """Read (time, channels) float32; a damaged file may give fewer frames than it promised."""
    try:
        samples: np.ndarray = file.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise OvertoneError(f"{path} does not decode: {error.error_string}") from None
    except OvertoneError as error:
        raise OvertoneError(f"{path} does not decode: FFmpeg: {error}") from None
    return samples


def write(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write (channels, time) samples as 16-bit FLAC or WAV by suffix; peaks beyond full scale are clipped."""
    soundfile.write(path, np.clip(samples, -1, 1).T, rate, subtype="PCM_16")
