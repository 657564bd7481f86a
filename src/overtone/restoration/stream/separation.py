"""Separate a stream into stems with Demucs, segment by segment, in constant memory.

Demucs (Rouard, Massa and Défossez 2023, arXiv 2211.08553) is an extra: ``pip install 'overtone[stems]'``.
``OVERTONE_DEMUCS`` names its model: a name of its own repository (``htdemucs`` if not set), or a folder in
the format of one and a name in it (``weights/htdemucs``). Files of such a folder are pickles, which can run
code when they are loaded.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from overtone.core.errors import OvertoneError, need
from overtone.restoration.stream.crossover import silence_gate

if TYPE_CHECKING:
    import torch

MODEL = "htdemucs"
HOME = "its own repository (huggingface.co/adefossez, then dl.fbaipublicfiles.com)"
# The share of a segment that the next one overlaps: Demucs's own default.
OVERLAP = 0.25


@dataclass(frozen=True)
class Separator:
    """A loaded model of Demucs.

    Attributes:
        name: the model's.
        stems: the names of the stems.
        rate: the rate that it works at, in Hz.
        channels: of its input.
        segment: samples of its input, the length that it was trained on.
        separate: (channels, segment) -> (stems, channels, segment).
    """

    name: str
    stems: tuple[str, ...]
    rate: int
    channels: int
    segment: int
    separate: Callable[[np.ndarray], np.ndarray]


@dataclass
class Findings:
    """Measurements of a separation: its time, and how well the sum of the stems matches the mix.

    Attributes:
        model: its name.
        stems: their names.
        seconds: of separating.
        mix, error: energy of the mix, and of its difference to the sum of its stems.
    """

    model: str
    stems: tuple[str, ...]
    seconds: float = 0.0
    mix: float = 0.0
    error: float = 0.0

    @property
    def sum_error_db(self) -> float:
        """The energy of the mix less the sum of its untouched stems, in dB of the mix's; -200 at least."""
        return 10 * math.log10(max(self.error / max(self.mix, 1e-30), 1e-20))

    def add(self, other: "Findings") -> None:
        """Add the findings of another separation with the same model."""
        self.seconds += other.seconds
        self.mix += other.mix
        self.error += other.error

    def line(self) -> str:
        """Summarize the findings in words."""
        return f"{len(self.stems)} stems by {self.model}, their sum {self.sum_error_db:.1f} dB off the mix"

    def json(self) -> dict[str, Any]:
        """Return the findings as plain values."""
        return {
            "model": self.model,
            "stems": self.stems,
            "sum_error_db": round(self.sum_error_db, 2),
            "separating_seconds": round(self.seconds, 3),
        }


def demucs_named() -> str:
    """Return the value of ``OVERTONE_DEMUCS`` for another process: a name, with an absolute folder if any."""
    named = os.environ.get("OVERTONE_DEMUCS", MODEL)
    return str(Path(named).absolute()) if "/" in named else named


def open_separator(device: "str | torch.device | None" = None, named: str | None = None) -> Separator:
    """Load one of Demucs's models onto a device; Demucs may download it.

    Args:
        device: as `overtone.models.device.choose_device` takes it.
        named: the model, a folder before it; by default the value of ``OVERTONE_DEMUCS``.

    Raises:
        OvertoneError: Demucs is not installed, or its model cannot be loaded.
    """
    named = named or os.environ.get("OVERTONE_DEMUCS", MODEL)
    folder = Path(named).parent if "/" in named else None
    name = Path(named).name
    api, torch = need("stems", "demucs.api"), need("stems", "torch")
    from overtone.models.device import choose_device

    chosen = choose_device(None if device is None else str(device))
    # It logs its retries in eleven lines; the error below has their reason.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        if folder is not None and not folder.is_dir():  # Demucs would end the process
            raise FileNotFoundError("there is no such folder")
        # No shift by random samples: it moves the seams of the segments, and makes two runs differ.
        demucs = api.Separator(name, repo=folder, device=str(chosen), shifts=0, split=False)
    # A download, a checksum, a pickle, or Demucs's own way to say that a package is missing.
    except (Exception, SystemExit) as error:
        raise OvertoneError(
            f"Demucs's model {name} cannot be had from {folder or HOME}: {_reason(error)}; a folder with "
            f"it can be named: OVERTONE_DEMUCS=FOLDER/{name}"
        ) from None
    model = demucs.model.to(chosen)
    length = int(min(part.segment for part in getattr(model, "models", [model])) * demucs.samplerate)
    stems = tuple(model.sources)

    def separate(wave: np.ndarray) -> np.ndarray:
        _, separated = demucs.separate_tensor(torch.from_numpy(wave))
        return np.stack([separated[stem].cpu().numpy() for stem in stems])

    return Separator(name, stems, demucs.samplerate, demucs.audio_channels, length, separate)


class Separation:
    """Separates a stream in Demucs's own way, segment by segment, but holds two segments and not all.

    Segments overlap by a quarter and are crossfaded by triangles. The last ones, which are shorter, are
    padded with the samples before them and with silence after them, as many samples on each side::

        |/\\        segment 0
            /\\     segment 1, three quarters of a segment later
               /\\| segment 2

    Args:
        separator: separates one segment.
        channels: of the stream. As many as the model has are separated together; else each by itself,
            copied to all of the model's channels, whose mean is the result.
        findings: to add to.
    """

    def __init__(self, separator: Separator, channels: int, findings: Findings) -> None:
        self._separator, self._findings = separator, findings
        rise = np.arange(1, separator.segment // 2 + 1)
        fall = np.arange(separator.segment - separator.segment // 2, 0, -1)
        self._triangle = np.concatenate([rise, fall]).astype(np.float32) / separator.segment
        self._step = int((1 - OVERLAP) * separator.segment)
        # Around the next segment's start: the samples before it, those after it, and the weighted sum of the
        # stems so far.
        self._before = np.zeros((channels, separator.segment // 2), np.float32)
        self._waiting = np.zeros((channels, 0), np.float32)
        self._sum = np.zeros((len(separator.stems), channels, separator.segment), np.float32)
        self._weight = np.zeros(separator.segment, np.float32)

    def __call__(self, block: np.ndarray, last: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the mix, (channels, time), and its stems, (stems, channels, time), as far as done."""
        self._waiting = np.concatenate([self._waiting, block], axis=1)
        while self._waiting.shape[1] >= self._separator.segment or (last and self._waiting.shape[1]):
            self._add(self._waiting[:, : self._separator.segment])
            mix, self._waiting = np.split(self._waiting, [min(self._step, self._waiting.shape[1])], axis=1)
            count = mix.shape[1]
            stems = self._sum[..., :count] / self._weight[:count]
            self._findings.mix += float((mix.astype(np.float64) ** 2).sum())
            self._findings.error += float(((mix - stems.sum(0)).astype(np.float64) ** 2).sum())
            yield mix, stems
            self._before = np.concatenate([self._before, mix], axis=1)[:, count:]
            self._sum = np.pad(self._sum[..., count:], ((0, 0), (0, 0), (0, count)))
            self._weight = np.pad(self._weight[count:], (0, count))

    def _add(self, samples: np.ndarray) -> None:
        """Add the stems of the next segment, or of the shorter rest."""
        time = samples.shape[1]
        missing = self._separator.segment - time
        lead = missing // 2
        before = self._before[:, self._before.shape[1] - lead :]
        segment = np.pad(np.concatenate([before, samples], axis=1), ((0, 0), (0, missing - lead)))
        stems = self._separate(segment)[..., lead : lead + time]
        self._sum[..., :time] += self._triangle[:time] * stems
        self._weight[:time] += self._triangle[:time]

    def _separate(self, segment: np.ndarray) -> np.ndarray:
        """Separate one segment, (channels, time); where it is digitally silent, so are its stems."""
        began = time.perf_counter()
        separator = self._separator
        if len(segment) == separator.channels:
            stems = separator.separate(segment)
        else:
            by_channel = [
                separator.separate(np.tile(channel, (separator.channels, 1))).mean(axis=1, keepdims=True)
                for channel in segment
            ]
            stems = np.concatenate(by_channel, axis=1)
        self._findings.seconds += time.perf_counter() - began
        gated: np.ndarray = stems * silence_gate(segment)
        return gated


def _reason(error: BaseException) -> str:
    """Shorten an error to a line; when Demucs ends the process, its reason is on standard error."""
    if isinstance(error, SystemExit):
        return "Demucs refuses it"
    return " ".join(str(error).split())[:200] or type(error).__name__
