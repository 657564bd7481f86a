"""Test tracks in chunks: list and read them, and measure every metric of an output on one chunk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor

from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.params import check
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import scale_pair
from overtone.data.pairs.degradation import CUTOFFS
from overtone.evaluation.metrics import distances
from overtone.evaluation.metrics import visqol as visqol_metric

VISQOL_MIN_SECONDS = 1.0  # a shorter chunk has no ViSQOL
VERSIONS = frozenset({"degraded", "restored", "original"})  # of an example; not the name of a system


@dataclass(frozen=True)
class EvaluateSettings:
    """The group ``evaluate`` of params.yaml.

    Attributes:
        systems: the systems beside the baselines, by the names of
            ``overtone.evaluation.comparison.named_systems``.
        cutoffs: further cutoffs in Hz: the originals are low-passed there, and every system is scored again.
        visqol: whether to compute ViSQOL, an extra that takes a second or more per chunk and system.
        resamples: draws of the bootstrap over tracks.
        pictures: the number of test tracks with a spectrogram and examples to listen to.
        excerpt: their length in seconds.
        seed: of the bootstrap.
        seconds: how much of every chunk is scored, from its first segment on; null for all of it.
    """

    systems: tuple[str, ...]
    cutoffs: tuple[float, ...]
    visqol: bool
    resamples: int
    pictures: int
    excerpt: float
    seed: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        names = list(self.systems)
        unique = bool(names) and len(set(names)) == len(names)
        check(unique, "evaluate.systems", names, "a list of names, at least one, each once")
        free = VERSIONS.isdisjoint(names)
        check(free, "evaluate.systems", names, f"a list of names, none of them {', '.join(sorted(VERSIONS))}")
        cutoffs = list(self.cutoffs)
        valid = all(cutoff >= CUTOFFS[0] for cutoff in cutoffs) and len(set(cutoffs)) == len(cutoffs)
        allowed = f"a list of frequencies in Hz, {CUTOFFS[0]:g} or more, each once"
        check(valid, "evaluate.cutoffs", cutoffs, allowed)
        check(self.resamples >= 100, "evaluate.resamples", self.resamples, "a whole number, 100 or more")
        check(self.pictures >= 1, "evaluate.pictures", self.pictures, "a whole number, 1 or more")
        check(
            0.1 < self.excerpt < np.inf,
            "evaluate.excerpt",
            self.excerpt,
            "a finite time in seconds, above 0.1",
        )
        check(self.seed >= 0, "evaluate.seed", self.seed, "a whole number, 0 or more")
        enough = self.seconds is None or 1 <= self.seconds < np.inf
        check(
            enough, "evaluate.seconds", self.seconds, "a time in seconds, 1 or more, or null for whole tracks"
        )

    def check_cutoffs(self, own: float, rate: int) -> None:
        """Raise OvertoneError unless each cutoff lies below Nyquist and differs from that of degrade."""
        top = min(rate / 2, CUTOFFS[1])
        valid = all(cutoff < top and cutoff != own for cutoff in self.cutoffs)
        half = ", half the pairs' rate," if top == rate / 2 else ""
        allowed = f"below {top:g} Hz{half} and none that of degrade, {own:g} Hz"
        check(valid, "evaluate.cutoffs", list(self.cutoffs), allowed)


class ChunkIndex(NamedTuple):
    """A chunk of a test track, not read yet.

    Attributes:
        track_id, part: which track, and which part of a long one.
        pairs: the numbers of its pairs, one per channel.
        segments: its segments; their starts count from ``first`` on.
        first, length: the samples to score of the part.
    """

    track_id: int
    part: int
    pairs: tuple[int, ...]
    segments: pd.DataFrame
    first: int
    length: int


class Chunk(NamedTuple):
    """A chunk of a test track: degraded and original samples (channels, time), and its segments."""

    track_id: int
    part: int
    degraded: Tensor
    original: Tensor
    segments: pd.DataFrame


def list_chunks(pairs: Pairs, segments: pd.DataFrame, seconds: float | None = None) -> list[ChunkIndex]:
    """List the chunks of the tracks that the segments belong to; a track is one chunk unless it is long.

    Args:
        pairs: the pairs of all tracks.
        segments: rows of segments.csv.
        seconds: ``evaluate.seconds``.
    """
    index = pairs.index[pairs.index["track_id"].isin(segments["track_id"])]
    found = []
    for _, rows in index.groupby(["track_id", "part"]):
        own = segments[segments["pair"].isin(rows.index)].copy()
        own["channel"] = rows.loc[own["pair"], "channel"].to_numpy()
        track_id, part = rows[["track_id", "part"]].iloc[0].tolist()
        first, length, own = _shorten(own, int(rows["samples"].min()), seconds, pairs.rate)
        found.append(ChunkIndex(track_id, part, tuple(map(int, rows.index)), own, first, length))
    return found


def _shorten(
    segments: pd.DataFrame, samples: int, seconds: float | None, rate: int
) -> tuple[int, int, pd.DataFrame]:
    """Choose what to score of a chunk: all, or some seconds from its first segment on, which is in it.

    Returns:
        First sample, number of samples, and the segments inside, whose starts count from the first sample on.
    """
    if seconds is None:
        return 0, samples, segments
    first, least = (0, 0) if segments.empty else (int(segments["start"].min()), int(segments["length"].max()))
    length = min(max(round(seconds * rate), least), samples - first)
    inside = segments[segments["start"] + segments["length"] <= first + length]
    return first, length, inside.assign(start=inside["start"] - first)


def read_chunk(pairs: Pairs, index: ChunkIndex, cutoff: float | None = None) -> Chunk:
    """Read a chunk; with a cutoff in Hz, its degraded samples are the original's, low-passed there."""
    channels = torch.from_numpy(
        np.stack([pairs.read(pair, index.first, index.length) for pair in index.pairs], axis=1)
    )
    degraded = channels[1] if cutoff is None else lowpass(channels[0], cutoff, pairs.rate)
    return Chunk(index.track_id, index.part, degraded, channels[0], index.segments)


def read_chunks(
    pairs: Pairs, segments: pd.DataFrame, cutoff: float | None = None, seconds: float | None = None
) -> Iterator[Chunk]:
    """Yield every chunk of `list_chunks`, read."""
    return (read_chunk(pairs, index, cutoff) for index in list_chunks(pairs, segments, seconds))


def lowpass(samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Remove the band above a cutoff in Hz by an elliptic low-pass of order 10, forwards and backwards.

    It is 0.1 dB down at the cutoff and 80 dB from 1.02 times the cutoff on.

    Shape:
        (channels, time) -> the same, float32.
    """
    sos = scipy.signal.ellip(10, 0.05, 40, cutoff, fs=rate, output="sos")
    # SciPy's default padding for this filter, or less if there are fewer samples.
    padding = min(33, samples.shape[-1] - 1)
    return torch.from_numpy(scipy.signal.sosfiltfilt(sos, samples.numpy(), padlen=padding).astype(np.float32))


def middle(samples: Tensor, seconds: float, rate: int) -> Tensor:
    """Cut the given seconds from the middle of (channels, time); a shorter signal is returned as it is."""
    time = samples.shape[-1]
    length = min(time, round(seconds * rate))
    start = (time - length) // 2
    return samples[:, start : start + length]


def measure(
    chunk: Chunk, estimate: Tensor, rate: int, cutoff: float, scale: str, visqol: bool = False
) -> dict[str, float]:
    """Measure every metric of an output on one chunk, except for the C2ST, which takes many chunks.

    The paper's three metrics depend on the scale: they are measured per segment, scaled to a peak of 1 as in
    the paper. ViSQOL is measured on an excerpt from the middle, all other metrics on the full chunk.

    Args:
        chunk: with the original.
        estimate: the output, (channels, time).
        rate, cutoff: in Hz.
        scale: ``segment.scale``.
        visqol: whether to compute ViSQOL.
    """
    bandwidth = measure_bandwidth(chunk.original.numpy(), rate)
    values = distances.measure(chunk.original, estimate, rate, cutoff, bandwidth)
    if visqol and estimate.shape[-1] >= VISQOL_MIN_SECONDS * rate:
        true, restored = (
            middle(samples, visqol_metric.EXCERPT_SECONDS, rate) for samples in (chunk.original, estimate)
        )
        values["visqol"] = visqol_metric.visqol(true, restored, rate)
    segments = chunk.segments
    if segments.empty:  # the last chunk of a track may be shorter than a segment
        return values
    by_segment = []
    for channel, start, length in zip(
        segments["channel"], segments["start"], segments["length"], strict=True
    ):
        span = channel, slice(start, start + length)
        scaled = scale_pair(chunk.original[span], estimate[span], scale)
        by_segment.append(distances.measure_paper(*scaled))
    means = {key: float(np.mean([scores[key] for scores in by_segment])) for key in by_segment[0]}
    return means | values
