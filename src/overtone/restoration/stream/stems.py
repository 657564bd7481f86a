"""Restoring stem by stem: Demucs separates, every stem is restored, what was added to them is summed.

::

    input ─┬─► Demucs ─► drums, bass, ... ─► network ─► what each gained above the cutoff ─► sum
           └──────────────────────────────────────────────────────────────────────────────► + ─► output

The stems themselves never reach the output, as they do not add up to the input: the low band is the input's,
as everywhere. How far off their sum is, is measured (`Findings`).

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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overtone.core.errors import OvertoneError, need
from overtone.models.device import choose_device
from overtone.models.registry import Network
from overtone.restoration.stream import crossover, limits
from overtone.restoration.stream.restorer import Restorer, Unchanged

MODEL = "htdemucs"
HOME = "its own repository (huggingface.co/adefossez, then dl.fbaipublicfiles.com)"
# Segments share so much with the next one: Demucs's own default.
OVERLAP = 0.25


@dataclass(frozen=True)
class Separator:
    """A model of Demucs, loaded.

    Attributes:
        name: the model's.
        stems: the names of what it separates into.
        rate: the rate that it works at, in Hz.
        channels: how many it takes at once.
        segment: samples that it takes at once, the length that it was trained on.
        separate: (channels, segment) -> (stems, channels, segment), on any device.
    """

    name: str
    stems: tuple[str, ...]
    rate: int
    channels: int
    segment: int
    separate: Callable[[Tensor], Tensor]


@dataclass
class Findings:
    """What separating took, and how well the stems fit together.

    Attributes:
        model: its name.
        stems: their names.
        seconds: of separating.
        mix, error: energy of what was separated, and of its difference to the sum of its stems.
    """

    model: str
    stems: tuple[str, ...]
    seconds: float = 0.0
    mix: float = 0.0
    error: float = 0.0

    @property
    def sum_error_db(self) -> float:
        """Energy of the mix less the sum of its untouched stems, in dB of the mix's; -200 at least."""
        return 10 * math.log10(max(self.error / max(self.mix, 1e-30), 1e-20))

    def add(self, other: "Findings") -> None:
        """Count in what was found elsewhere, with the same model."""
        self.seconds += other.seconds
        self.mix += other.mix
        self.error += other.error

    def line(self) -> str:
        """For people."""
        return f"{len(self.stems)} stems by {self.model}, their sum {self.sum_error_db:.1f} dB off the mix"

    def json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "model": self.model,
            "stems": self.stems,
            "sum_error_db": round(self.sum_error_db, 2),
            "separating_seconds": round(self.seconds, 3),
        }


def demucs_named() -> str:
    """What ``OVERTONE_DEMUCS`` names, for another process: a model, or an absolute folder with one behind."""
    named = os.environ.get("OVERTONE_DEMUCS", MODEL)
    return str(Path(named).absolute()) if "/" in named else named


def open_separator(device: str | torch.device | None = None, named: str | None = None) -> Separator:
    """Load one of Demucs's models onto a device; Demucs may download it.

    Args:
        device: as `overtone.models.device.choose_device` takes it.
        named: the model, a folder before it; by default what ``OVERTONE_DEMUCS`` names.

    Raises:
        OvertoneError: Demucs is not installed, or its model cannot be had.
    """
    named = named or os.environ.get("OVERTONE_DEMUCS", MODEL)
    folder = Path(named).parent if "/" in named else None
    name = Path(named).name
    place = choose_device(None if device is None else str(device))
    api = need("stems", "demucs.api")
    # Its retries are eleven lines; why they failed is in the line below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        if folder is not None and not folder.is_dir():  # Demucs would end the process
            raise FileNotFoundError("there is no such folder")
        # No shift by random samples: it moves the seams of the segments, and makes two runs differ.
        demucs = api.Separator(name, repo=folder, device=str(place), shifts=0, split=False)
    # A download, a checksum, a pickle, or Demucs's own way to say that a package is missing.
    except (Exception, SystemExit) as error:
        raise OvertoneError(
            f"Demucs's model {name} cannot be had from {folder or HOME}: {_reason(error)}; a folder with "
            f"it can be named: OVERTONE_DEMUCS=FOLDER/{name}"
        ) from None
    model = demucs.model.to(place)
    length = int(min(one.segment for one in getattr(model, "models", [model])) * demucs.samplerate)
    stems = tuple(model.sources)

    def separate(wave: Tensor) -> Tensor:
        _, made = demucs.separate_tensor(wave)
        return torch.stack([made[stem] for stem in stems])

    return Separator(name, stems, demucs.samplerate, demucs.audio_channels, length, separate)


class StemsRestorer:
    """Restores a stream as `Restorer` does, stem by stem: blocks in, blocks out, memory constant.

    Args:
        separator: what `open_separator` gives.
        net, rate, channels, cutoff, peak, out_rate: as for `Restorer`. Every stem is heard at the scale of
            the mix, as its own peak is known only when all of it is separated.
        keep_low: False gives the sum of what the network makes of each stem in all bands, to judge it by.
        findings: to add to; by default new ones.

    Attributes:
        findings: of what is done so far.

    Raises:
        OvertoneError: as of `Restorer`.
    """

    def __init__(
        self,
        separator: Separator,
        net: Network,
        rate: int,
        channels: int,
        cutoff: float,
        peak: float = 1.0,
        out_rate: int | None = None,
        keep_low: bool = True,
        findings: Findings | None = None,
    ) -> None:
        self.findings = findings or Findings(separator.name, separator.stems)
        self._keep_low = keep_low
        limits.check_cutoff(cutoff, rate)
        own, start = separator.rate, limits.restored_from(cutoff, rate)
        self._dry = Unchanged(rate, channels, out_rate)
        self._to_own = Unchanged(rate, channels, own)
        self._to_out = Unchanged(own, channels, self._dry.out_rate)
        self._separation = Separation(separator, channels, self.findings)
        self._restorers = [
            Restorer(net, own, channels, start, peak, own, keep_low=keep_low) for _ in separator.stems
        ]
        # Output that waits for its other half, and what the restored stems are compared with.
        self._waiting_dry, self._waiting_added, self._base = (
            np.zeros((channels, 0), np.float32) for _ in range(3)
        )

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take (channels, time) float32 samples; give those of the output that are ready."""
        added = [self._to_out.process(piece) for piece in self._added(self._to_own.process(block), False)]
        return self._joined(self._dry.process(block), added)

    def flush(self) -> np.ndarray:
        """End the stream; give the rest. In all, round(samples in * out_rate / rate) come out."""
        added = [self._to_out.process(piece) for piece in self._added(self._to_own.flush(), True)]
        out = self._joined(self._dry.flush(), [*added, self._to_out.flush()])
        # The way to Demucs's rate and back may end a sample before.
        return np.concatenate([out, self._waiting_dry], axis=1)

    def _added(self, mix: np.ndarray, last: bool) -> Iterator[np.ndarray]:
        """Yield what the stems gained, of those parts of the mix that are done."""
        for part, stems in self._separation(mix, last):
            # The output is the input and what is added here: taking away the mix in place of the stems
            # leaves the restored stems alone.
            base = sum(stems) if self._keep_low else part
            self._base = np.concatenate([self._base, base], axis=1)
            yield self._gained(
                [restorer.process(stem) for restorer, stem in zip(self._restorers, stems, strict=True)]
            )
        if last:
            yield self._gained([restorer.flush() for restorer in self._restorers])

    def _gained(self, restored: list[np.ndarray]) -> np.ndarray:
        made: np.ndarray = sum(restored[1:], start=restored[0])
        base, self._base = np.split(self._base, [made.shape[1]], axis=1)
        gained: np.ndarray = made - base
        return gained

    def _joined(self, dry: np.ndarray, added: list[np.ndarray]) -> np.ndarray:
        self._waiting_dry = np.concatenate([self._waiting_dry, dry], axis=1)
        self._waiting_added = np.concatenate([self._waiting_added, *added], axis=1)
        ready = min(self._waiting_dry.shape[1], self._waiting_added.shape[1])
        dry, self._waiting_dry = np.split(self._waiting_dry, [ready], axis=1)
        wet, self._waiting_added = np.split(self._waiting_added, [ready], axis=1)
        joined: np.ndarray = dry + wet
        return joined


class Separation:
    """Separates a stream in Demucs's own way, segment by segment, but holds two segments and not all.

    Segments overlap by a quarter and are faded into each other by triangles. The last ones, which are
    shorter, go in with what came before them and silence after, as many samples on each side::

        |/\\        segment 0
            /\\     segment 1, three quarters of a segment later
               /\\| segment 2

    Args:
        separator: what separates one segment.
        channels: of the stream. As many as the model takes go in together; else each goes by itself, put on
            all of the model's channels, of which the mean is taken.
        findings: to add to.
    """

    def __init__(self, separator: Separator, channels: int, findings: Findings) -> None:
        self._separator, self._findings = separator, findings
        rise = np.arange(1, separator.segment // 2 + 1)
        fall = np.arange(separator.segment - separator.segment // 2, 0, -1)
        self._triangle = np.concatenate([rise, fall]).astype(np.float32) / separator.segment
        self._step = int((1 - OVERLAP) * separator.segment)
        # Around the next segment's start: what came before it, what is to be separated, and the weighted
        # sum of what is so far.
        self._before = np.zeros((channels, separator.segment // 2), np.float32)
        self._held = np.zeros((channels, 0), np.float32)
        self._sum = np.zeros((len(separator.stems), channels, separator.segment), np.float32)
        self._weight = np.zeros(separator.segment, np.float32)

    def __call__(self, block: np.ndarray, last: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield those parts that are done, (channels, time), and their stems, (stems, channels, time)."""
        self._held = np.concatenate([self._held, block], axis=1)
        while self._held.shape[1] >= self._separator.segment or (last and self._held.shape[1]):
            self._add(self._held[:, : self._separator.segment])
            part, self._held = np.split(self._held, [min(self._step, self._held.shape[1])], axis=1)
            given = part.shape[1]
            stems = self._sum[..., :given] / self._weight[:given]
            self._findings.mix += float((part.astype(np.float64) ** 2).sum())
            self._findings.error += float(((part - stems.sum(0)).astype(np.float64) ** 2).sum())
            yield part, stems
            self._before = np.concatenate([self._before, part], axis=1)[:, given:]
            self._sum = np.pad(self._sum[..., given:], ((0, 0), (0, 0), (0, given)))
            self._weight = np.pad(self._weight[given:], (0, given))

    def _add(self, own: np.ndarray) -> None:
        """Add the stems of the next segment, or of what is left."""
        time = own.shape[1]
        missing = self._separator.segment - time
        lead = missing // 2
        before = self._before[:, self._before.shape[1] - lead :]
        segment = np.pad(np.concatenate([before, own], axis=1), ((0, 0), (0, missing - lead)))
        stems = self._separated(torch.from_numpy(segment))[..., lead : lead + time]
        self._sum[..., :time] += self._triangle[:time] * stems
        self._weight[:time] += self._triangle[:time]

    def _separated(self, segment: Tensor) -> np.ndarray:
        """The stems of one segment; where it is digitally silent, so are they."""
        began = time.perf_counter()
        separator = self._separator
        if len(segment) == separator.channels:
            stems = separator.separate(segment).cpu()
        else:
            each = [
                separator.separate(channel.repeat(separator.channels, 1)).cpu().mean(1, keepdim=True)
                for channel in segment
            ]
            stems = torch.cat(each, dim=1)
        self._findings.seconds += time.perf_counter() - began
        made: np.ndarray = (stems * crossover.silence_gate(segment)).numpy()
        return made


def _reason(error: BaseException) -> str:
    """An error in a line; Demucs says why it ends the process on standard error."""
    if isinstance(error, SystemExit):
        return "Demucs refuses it"
    return " ".join(str(error).split())[:200] or type(error).__name__
