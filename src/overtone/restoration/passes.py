"""Read a file twice, in blocks: the first pass checks and measures it, the second restores it.

The first pass keeps a short file's samples, so that it is decoded once.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overtone.core.errors import OvertoneError
from overtone.formats import UNKNOWN
from overtone.restoration.files import decode
from overtone.restoration.files.decode import BLOCK, SoundReader, open_sound
from overtone.restoration.stream.analysis import Analysis, Analyzer, Stream
from overtone.restoration.stream.limits import MAX_CHANNELS, check_output, check_rate

# A file of up to so many samples (6 minutes of stereo, 128 MB) is kept in memory between the passes.
KEPT = 1 << 25
# Share of the time that the first pass takes.
SCAN_SHARE = 0.1


@dataclass(frozen=True)
class SourceFile:
    """A file to restore, and what of it is measured.

    Attributes:
        path: the file.
        cutoff: in Hz; measured if None.
        parts: whether to look for narrowband passages.
        balance: whether to measure the spectral balance.
        track: number of the sound track, from 1 on, where there are several.
        accept_truncated: whether a file whose end is missing is read as far as it goes.
        progress: is called with the share of both passes that is done, 0 to 1.
    """

    path: Path
    cutoff: float | None
    parts: bool
    balance: bool
    track: int | None
    accept_truncated: bool
    progress: Callable[[float], None]

    def open(self) -> contextlib.AbstractContextManager[SoundReader]:
        """Open the file."""
        return open_sound(self.path, self.track, self.accept_truncated)


@dataclass(frozen=True)
class Measured:
    """The result of the first pass.

    Attributes:
        analysis: of the sound.
        blocks: of samples, if the file is short, until the second pass takes them; else None.
        reader: of the file, read to its end, with what is special about it.
    """

    analysis: Analysis
    blocks: deque[np.ndarray] | None
    reader: SoundReader


def measure(source: SourceFile) -> Measured:
    """Read all of a file, check and measure it.

    Raises:
        OvertoneError: it cannot be read, or is not allowed.
    """
    with source.open() as file:
        kept: deque[np.ndarray] | None = None if KEPT < file.frames * file.channels < UNKNOWN else deque()
        analyzer = _analyzer(source, file.samplerate, file.channels)
        for block in decode.ahead(file.blocks()):
            analyzer.add(block)
            if analyzer.samples * file.channels > KEPT:
                kept = None
            if kept is not None:
                kept.append(block)
            source.progress(SCAN_SHARE * min(1.0, analyzer.samples / max(1, file.frames)))
    if analyzer.samples < 2:
        count = ("no samples", "one sample")[analyzer.samples]
        raise OvertoneError(f"{source.path} holds {count}; 2 are the least")
    return Measured(analyzer.finish(), kept, file)


def _analyzer(source: SourceFile, rate: int, channels: int) -> Analyzer:
    """Open the analyzer of a file.

    Raises:
        OvertoneError: its rate or number of channels is not allowed.
    """
    try:
        check_rate(rate)
    except OvertoneError as error:
        raise OvertoneError(f"{source.path}: {error}") from None
    if channels > MAX_CHANNELS:
        raise OvertoneError(f"{source.path} has {channels} channels; up to {MAX_CHANNELS} are allowed")
    return Analyzer(
        rate, channels, source.cutoff, source.parts, name=str(source.path), balance=source.balance
    )


def restored_blocks(source: SourceFile, measured: Measured, stream: Stream) -> Iterator[np.ndarray]:
    """Yield what a stream makes of a file as (channels, time) blocks, none longer than BLOCK.

    Raises:
        OvertoneError: the file has changed since it was measured, or the output is no sound.
    """
    done = 0
    with contextlib.ExitStack() as stack:
        kept = measured.blocks
        for block in stack.enter_context(source.open()).blocks() if kept is None else _taken(kept):
            yield from _split(stream.process(block), source.path)
            done += block.shape[1]
            share = done / measured.analysis.samples
            source.progress(min(1.0, SCAN_SHARE + (1 - SCAN_SHARE) * share))
    if done != measured.analysis.samples:
        raise OvertoneError(f"{source.path} changed while it was read; restore it once it is finished")
    yield from _split(stream.flush(), source.path)


def _taken(kept: deque[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks and let go of each, so that memory is free again as they are restored."""
    while kept:
        yield kept.popleft()


def _split(wave: np.ndarray, path: Path) -> Iterator[np.ndarray]:
    """Yield output of any length as blocks, none longer than BLOCK."""
    try:
        check_output(wave)
    except OvertoneError as error:
        raise OvertoneError(f"{path}: {error}") from None
    for at in range(0, wave.shape[1], BLOCK):
        yield wave[:, at : at + BLOCK]
