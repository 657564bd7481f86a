"""Draw spectrograms of files, one below the other, as PNG.

A file of any length is read in blocks and drawn in at most COLUMNS columns, in constant memory. matplotlib
is imported only when a picture is drawn.
"""

import contextlib
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.core.atomic import replacing
from overtone.core.errors import OvertoneError, need
from overtone.restoration.files.decode import SoundReader
from overtone.restoration.stream.fifo import Fifo

# A file that `with` opens.
Sound: TypeAlias = contextlib.AbstractContextManager[SoundReader]

COLUMNS = 1500
FRAME_SECONDS = 0.046  # to the next power of two: 2048 samples at 44.1 and 48 kHz
# Shortest and longest hop in samples: every sample lies in a frame, and short files have enough columns.
HOPS = (128, 1024)
BLOCK_FRAMES = 64
RANGE = 90  # dB from the loudest point down to black


def draw(files: Mapping[str, Sound], path: str | Path, seconds: float, cutoff: float, title: str) -> None:
    """Draw the spectrograms of files of the same length, one below the other.

    Args:
        files: as `overtone.restoration.files.decode.open_sound` opens them, by the title of each.
        path: the PNG.
        seconds: their length.
        cutoff: in Hz, drawn as a dashed line.
        title: of the whole picture.
    """
    need("picture", "matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    drawn = {name: spectrogram(file, seconds) for name, file in files.items()}
    loudest = max(float(levels.max()) for levels, _ in drawn.values())
    top = max(rate for _, rate in drawn.values()) / 2000
    figure = Figure(figsize=(10, 0.5 + 3 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    image: Any = None
    for axis, (name, (levels, rate)) in zip(axes, drawn.items(), strict=True):
        image = axis.imshow(
            levels - loudest,
            cmap="magma",
            vmin=-RANGE,
            vmax=0,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, rate / 2000),
        )
        axis.set_facecolor("black")
        axis.axhline(cutoff / 1000, color="white", linewidth=1, linestyle="--")
        axis.set(title=name, ylabel="frequency (kHz)", ylim=(0, top))
    axes[-1].set_xlabel("time (min:s)")
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}"))
    figure.colorbar(image, ax=axes, label="level (dB)", pad=0.01)
    # Of a name that is no valid text, or in a script that the font lacks, what can be drawn is drawn.
    figure.suptitle("".join(char if char.isprintable() else "?" for char in title), parse_math=False)
    try:
        with warnings.catch_warnings(action="ignore"), replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    except OSError as error:
        raise OvertoneError(f"{path} cannot be written: {error.strerror}") from None


def spectrogram(sound: Sound, seconds: float) -> tuple[np.ndarray, int]:
    """Compute mean levels in dB of a file's first seconds, (bins, columns), with its rate in Hz.

    A column is the mean power over a few frames and over channels; there are COLUMNS at most. The length is
    an argument, since not every header has it.
    """
    with sound as file:
        rate, length = file.samplerate, round(seconds * file.samplerate)
        hop = min(max(length // COLUMNS, HOPS[0]), HOPS[1])
        size = 2 ** round(math.log2(rate * FRAME_SECONDS))
        frames = -(-length // hop)
        columns = min(COLUMNS, frames)
        power = np.zeros((columns, size // 2 + 1))
        count = np.zeros(columns)
        window = np.hanning(size + 1)[:-1].astype(np.float32)
        window *= 2 / window.sum()
        held = np.zeros((file.channels, size // 2), np.float32)
        decoded, waiting = file.blocks(), Fifo(file.channels)
        for first in range(0, frames, BLOCK_FRAMES):
            number = min(BLOCK_FRAMES, frames - first)
            needed = (number - 1) * hop + size
            wanted = max(0, needed - held.shape[1])
            while waiting.size < wanted and (block := next(decoded, None)) is not None:
                waiting.append(block)
            held = np.concatenate([held, waiting.take(wanted)], axis=1)
            held = np.pad(held, ((0, 0), (0, max(0, needed - held.shape[1]))))
            cut = sliding_window_view(held[:, :needed], size, axis=1)[:, ::hop]
            spectrum = np.fft.rfft(cut * window, axis=-1)
            of = np.arange(first, first + number) * columns // frames
            np.add.at(power, of, (spectrum.real**2 + spectrum.imag**2).mean(0))
            np.add.at(count, of, 1)
            held = held[:, number * hop :]
    levels: np.ndarray = 10 * np.log10(power / count[:, None] + 1e-12).T
    return levels, rate
