"""Whole test tracks, and what is scored of a system on each; all systems go the same road."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import signal
from torch import Tensor

from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.params import check
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import scale_pair
from overtone.data.pairs.degradation import CUTOFFS
from overtone.evaluation.metrics import distances
from overtone.evaluation.metrics import visqol as visqol_metric

VISQOL_MIN_SECONDS = 1.0  # seconds; a shorter take has no ViSQOL
VERSIONS = frozenset({"degraded", "restored", "original"})  # of an example; no system has such a name


@dataclass(frozen=True)
class EvaluateSettings:
    """The group ``evaluate`` of params.yaml.

    Attributes:
        systems: rows of the table beside the baselines, by the names of
            `overtone.evaluation.comparison.systems`.
        cutoffs: further cutoffs in Hz. The originals are low-passed there, and every system is scored again.
        visqol: whether ViSQOL grades each chunk. An extra; it takes a second or more a chunk and system.
        resamples: draws of the bootstrap over tracks.
        pictures: how many test tracks get a spectrogram and examples to listen to.
        excerpt: length of both in seconds.
        seed: of the bootstrap.
    """

    systems: tuple[str, ...]
    cutoffs: tuple[float, ...]
    visqol: bool
    resamples: int
    pictures: int
    excerpt: float
    seed: int

    def __post_init__(self) -> None:
        names = list(self.systems)
        once = bool(names) and len(set(names)) == len(names)
        check(once, "evaluate.systems", names, "a list of names, at least one, each once")
        free = VERSIONS.isdisjoint(names)
        check(free, "evaluate.systems", names, f"a list of names, none of them {', '.join(sorted(VERSIONS))}")
        cutoffs = list(self.cutoffs)
        fine = all(cutoff >= CUTOFFS[0] for cutoff in cutoffs) and len(set(cutoffs)) == len(cutoffs)
        allowed = f"a list of frequencies in Hz, {CUTOFFS[0]:g} or more, each once"
        check(fine, "evaluate.cutoffs", cutoffs, allowed)
        check(self.resamples >= 100, "evaluate.resamples", self.resamples, "a whole number, 100 or more")
        check(self.pictures >= 1, "evaluate.pictures", self.pictures, "a whole number, 1 or more")
        check(
            0.1 < self.excerpt < np.inf,
            "evaluate.excerpt",
            self.excerpt,
            "a finite time in seconds, above 0.1",
        )
        check(self.seed >= 0, "evaluate.seed", self.seed, "a whole number, 0 or more")

    def check_cutoffs(self, own: float, rate: int) -> None:
        """Raise unless a degraded copy can be made at each cutoff, and told from the pipeline's own."""
        top = min(rate / 2, CUTOFFS[1])
        fine = all(cutoff < top and cutoff != own for cutoff in self.cutoffs)
        half = ", half the pairs' rate," if top == rate / 2 else ""
        allowed = f"below {top:g} Hz{half} and none that of degrade, {own:g} Hz"
        check(fine, "evaluate.cutoffs", list(self.cutoffs), allowed)


class ChunkIndex(NamedTuple):
    """One part of a test track, not read yet: the numbers of its pairs, a channel each, and its segments."""

    track_id: int
    part: int
    pairs: tuple[int, ...]
    segments: pd.DataFrame


class Chunk(NamedTuple):
    """One part of a test track: degraded and original (channels, time), and its segments."""

    track_id: int
    part: int
    degraded: Tensor
    original: Tensor
    segments: pd.DataFrame


def list_chunks(pairs: Pairs, segments: pd.DataFrame) -> list[ChunkIndex]:
    """The tracks that the segments belong to, each whole (long ones in their parts)."""
    index = pairs.index[pairs.index["track_id"].isin(segments["track_id"])]
    found = []
    for _, rows in index.groupby(["track_id", "part"]):
        own = segments[segments["pair"].isin(rows.index)].copy()
        own["channel"] = rows.loc[own["pair"], "channel"].to_numpy()
        track_id, part = rows[["track_id", "part"]].iloc[0].tolist()
        found.append(ChunkIndex(track_id, part, tuple(map(int, rows.index)), own))
    return found


def read_chunk(pairs: Pairs, part: ChunkIndex, cutoff: float | None = None) -> Chunk:
    """Read a part; with a cutoff in Hz, its degraded samples are the original's, low-passed there anew."""
    channels = torch.from_numpy(np.stack([pairs.read(pair) for pair in part.pairs], axis=1))
    degraded = channels[1] if cutoff is None else lowpass(channels[0], cutoff, pairs.rate)
    return Chunk(part.track_id, part.part, degraded, channels[0], part.segments)


def read_chunks(pairs: Pairs, segments: pd.DataFrame, cutoff: float | None = None) -> Iterator[Chunk]:
    """Yield every part of `parts`, read."""
    return (read_chunk(pairs, part, cutoff) for part in list_chunks(pairs, segments))


def lowpass(samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Without what lies above a cutoff in Hz: through an elliptic low-pass of order 10, there and back.

    It is 0.1 dB down at the cutoff and 80 dB from 1.02 times that on.

    Shape:
        (channels, time) -> the same, float32.
    """
    sos = signal.ellip(10, 0.05, 40, cutoff, fs=rate, output="sos")
    # SciPy's own extension of the ends for this filter, as far as there are samples.
    padding = min(33, samples.shape[-1] - 1)
    return torch.from_numpy(signal.sosfiltfilt(sos, samples.numpy(), padlen=padding).astype(np.float32))


def middle(samples: Tensor, seconds: float, rate: int) -> Tensor:
    """The seconds in the middle of (channels, time), or all where there are less."""
    time = samples.shape[-1]
    length = min(time, round(seconds * rate))
    start = (time - length) // 2
    return samples[:, start : start + length]


def measure(
    take: Chunk, estimate: Tensor, rate: int, cutoff: float, scale: str, visqol: bool = False
) -> dict[str, float]:
    """Every metric of one system on one take, but for the probe, which is one of many takes.

    The paper's three are taken segment by segment, scaled to a peak of 1 as its segments are, since
    they depend on the scale; ViSQOL on what is enough for it from the middle; the others on the whole.
    """
    reach = measure_bandwidth(take.original, rate)
    values = distances.measure(take.original, estimate, rate, cutoff, reach)
    if visqol and estimate.shape[-1] >= VISQOL_MIN_SECONDS * rate:
        true, made = (
            middle(sound, visqol_metric.EXCERPT_SECONDS, rate) for sound in (take.original, estimate)
        )
        values["visqol"] = visqol_metric.visqol(true, made, rate)
    own = take.segments
    if own.empty:  # a last part shorter than a segment
        return values
    by_segment = []
    for channel, start, length in zip(own["channel"], own["start"], own["length"], strict=True):
        cut = slice(start, start + length)
        by_segment.append(
            distances.measure_paper(*scale_pair(take.original[channel, cut], estimate[channel, cut], scale))
        )
    return {key: float(np.mean([row[key] for row in by_segment])) for key in by_segment[0]} | values
