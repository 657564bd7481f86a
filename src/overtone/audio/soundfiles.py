"""Audio files and sample rates: float32 arrays shaped (channels, time), full scale at 1."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from overtone.core.errors import OvertoneError


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file read from beginning to end.

    soundfile seeks after every read of a file that can be sought: that fails on FLAC of unknown length.
    """

    def seekable(self) -> bool:
        """Whether it is to be sought."""
        return False


def read_chunks(path: str | Path, seconds: int, context: int) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Read a file in parts of bounded length, each with its surroundings.

    An hour-long mix is never in memory as a whole: part ``p`` holds the seconds from ``p * seconds``
    on, with up to ``context`` seconds of what lies before and after, so that a filter run over one
    part gives there what it would have given over the whole file.

    Yields:
        (samples, rate, before, after): samples (channels, time) with the context, its rate in Hz,
        and how many samples at each end are context.

    Raises:
        OvertoneError: the file does not decode, or holds no samples.
    """
    try:
        # soundfile takes a name that is no UTF-8 as bytes alone.
        with ForwardFile(os.fsencode(path)) as file:
            rate, length, margin = file.samplerate, seconds * file.samplerate, context * file.samplerate
            held = _read(file, length + margin)
            if not len(held):
                raise OvertoneError(f"{path} holds no samples")
            before = 0
            while True:
                after = max(0, len(held) - before - length)
                yield np.ascontiguousarray(held.T), rate, before, after
                if not after:
                    return
                # The next part starts where this one's own samples ended; keep its context.
                kept = held[max(0, before + length - margin) :]
                before = min(margin, before + length)
                held = np.concatenate([kept, _read(file, before + length + margin - len(kept))])
    except soundfile.LibsndfileError as error:
        raise OvertoneError(f"{path} does not decode: {error.error_string}") from None


def _read(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """Read (time, channels) float32; a damaged file may give fewer frames than it promised."""
    samples: np.ndarray = file.read(frames, dtype="float32", always_2d=True)
    return samples


def write(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write (channels, time) samples as 16-bit FLAC or WAV by suffix; peaks beyond full scale are clipped."""
    soundfile.write(path, np.clip(samples, -1, 1).T, rate, subtype="PCM_16")
