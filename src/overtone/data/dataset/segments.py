"""List the segments to train on, an index into the pairs, and read them as batches; no audio is copied."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from overtone.core import parallel
from overtone.core.params import check, check_choice
from overtone.core.progress import report_progress
from overtone.data.dataset.batch import Batch
from overtone.data.dataset.on_the_fly import PendingBatch
from overtone.data.dataset.reader import Pairs

# Samples read at a time, 24 s: complete parts of two minutes took a worker 850 MB.
READ_LENGTH = 1 << 20
# Groups that tracks are distributed in; each opens the pairs' index again.
GROUPS = 64

Rows = list[tuple[int, int, int, int, float, float]]


@dataclass(frozen=True)
class SegmentSettings:
    """The group ``segment`` of params.yaml.

    Attributes:
        length: samples of a segment.
        hop: samples from one segment's start to the next.
        skip: seconds left out at a track's start; FMA's clips begin 5 to 8 times too quiet for 25 ms.
        silence: segments whose original has at most this peak are left out.
        per_track: number of segments of a track, evenly spaced; None for all.
        scale: ``shared`` divides both of a pair by the original's peak; ``separate`` (the authors'
            code) divides each by its own.
    """

    length: int
    hop: int
    skip: float
    silence: float
    per_track: int | None
    scale: str

    def __post_init__(self) -> None:
        check(self.length >= 1024, "segment.length", self.length, "a number of samples, 1024 or more")
        check(self.hop >= 1, "segment.hop", self.hop, "a number of samples, 1 or more")
        check(0 <= self.skip < np.inf, "segment.skip", self.skip, "a finite time in seconds, 0 or more")
        check(0 <= self.silence < 1, "segment.silence", self.silence, "a peak, 0 or more and below 1")
        many = self.per_track is None or self.per_track >= 1
        check(many, "segment.per_track", self.per_track, "a whole number, 1 or more, or null for all")
        check_choice("segment.scale", self.scale, ("shared", "separate"))


def list_segments(pairs: Pairs, settings: SegmentSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the segments of all pairs.

    Degraded halves that are not stored are computed for it, which is most of the work: on processors, tracks
    are then distributed over this machine's cores.

    Args:
        pairs: the pairs.
        settings: the group ``segment``.

    Returns:
        (segments, left out): columns track_id, pair, start, length, peak_original, peak_degraded; and
        columns track_id, reason for tracks without segments.
    """
    tracks = np.unique(pairs.index["track_id"])
    found: Iterable[tuple[Rows, list[dict[str, Any]]]]
    if pairs.damage is not None and pairs.device.type == "cpu":
        groups = np.array_split(tracks, min(GROUPS, len(tracks)))
        calls = [(pairs.folder.absolute(), settings, group.tolist()) for group in groups]
        found = report_progress(parallel.run_local(_cut_folder, calls), len(calls), "segment: group")
    else:
        found = [_cut(pairs, settings, tracks.tolist())]
    rows, left_out = zip(*found, strict=True)
    columns = ["track_id", "pair", "start", "length", "peak_original", "peak_degraded"]
    return (
        pd.DataFrame([row for group in rows for row in group], columns=columns),
        pd.DataFrame([row for group in left_out for row in group], columns=["track_id", "reason"]),
    )


def _cut_folder(
    folder: Path, settings: SegmentSettings, tracks: list[int]
) -> tuple[Rows, list[dict[str, Any]]]:
    return _cut(Pairs(folder), settings, tracks)


def _cut(pairs: Pairs, settings: SegmentSettings, tracks: list[int]) -> tuple[Rows, list[dict[str, Any]]]:
    """List the segments of some tracks, and the tracks without segments, as rows."""
    rows: Rows = []
    left_out = []
    index = pairs.index[pairs.index["track_id"].isin(tracks)]
    for track_id, of_track in index.groupby("track_id", sort=True):
        found: Rows = []
        for pair, samples in zip(of_track.index.tolist(), of_track["samples"].tolist(), strict=True):
            last = samples - settings.length
            starts = range(round(settings.skip * pairs.rate), last + 1, settings.hop)
            if not starts:
                continue
            for start, original, degraded in _peaks(pairs, pair, starts, settings.length):
                found.append((cast(int, track_id), pair, start, settings.length, original, degraded))
        audible = [row for row in found if row[4] > settings.silence and row[5] > 0]
        if not audible:
            reason = "every segment is silent" if found else "shorter than a segment"
            left_out.append({"track_id": track_id, "reason": reason})
        if settings.per_track is not None and len(audible) > settings.per_track:
            spaced = np.linspace(0, len(audible) - 1, settings.per_track).round().astype(int)
            audible = [audible[number] for number in spaced]
        rows += audible
    return rows, left_out


def _peaks(pairs: Pairs, pair: int, starts: range, length: int) -> Iterator[tuple[int, float, float]]:
    """Yield each segment's start and the peaks of its original and degraded samples."""
    many = max(1, READ_LENGTH // starts.step)
    for first in range(0, len(starts), many):
        some = starts[first : first + many]
        read = np.abs(pairs.read(pair, some[0], some[-1] + length - some[0]))
        for start in some:
            original, degraded = read[:, start - some[0] :][:, :length].max(axis=1).tolist()
            yield start, original, degraded


def scale_pair(original: torch.Tensor, other: torch.Tensor, scale: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale a pair of segments to a peak of 1: by the original's (``shared``), or each by its own."""
    peak = original.abs().max().clamp_min(1e-9)
    return original / peak, other / (other.abs().max().clamp_min(1e-9) if scale == "separate" else peak)


class Segments:
    """The segments of one split as batches of tensors, scaled to a peak of 1.

    Args:
        pairs, table: the pairs, and the segments' rows of segments.csv.
        scale: as `SegmentSettings` has it.
        cutoff: of the degraded segments, in Hz.
        degraded: false where training degrades every batch itself: only originals are read, and returned in
            the degraded segments' place.
        side: whether the segments are the side of stereo.
    """

    def __init__(
        self,
        pairs: Pairs,
        table: pd.DataFrame,
        scale: str,
        cutoff: float,
        degraded: bool = True,
        side: bool = False,
    ) -> None:
        self.pairs, self.side = pairs, side
        self._degraded = degraded
        self.rate = pairs.rate
        self._cutoff = cutoff
        self._bandwidth = pairs.index["bandwidth"].reindex(table["pair"]).to_numpy(np.float32)
        self.length = int(table["length"].iloc[0])
        self._where = list(zip(table["pair"], table["start"], strict=True))
        peaks = table[["peak_original", "peak_degraded"]].to_numpy(np.float32)
        self._divisor = peaks if scale == "separate" else peaks[:, [0, 0]]

    def __len__(self) -> int:
        return len(self._where)

    def batch(self, numbers: list[int]) -> Batch | PendingBatch:
        """Read segments by their numbers; ``to(device)`` computes degraded segments that are not stored."""
        cutoff = torch.full((len(numbers),), self._cutoff)
        bandwidth = torch.from_numpy(self._bandwidth[numbers])
        where = [self._where[number] for number in numbers]
        divisor = self._divisor[numbers]
        if self._degraded and self.pairs.damage is not None:
            windows = [self.pairs.window(pair, start, self.length) for pair, start in where]
            samples, offsets = zip(*windows, strict=True)
            step = torch.tensor([self.pairs.step(pair) for pair, _ in where])
            return PendingBatch(
                self.pairs.damage,
                [torch.from_numpy(window) for window in samples],
                offsets,
                self.length,
                step,
                torch.from_numpy(divisor),
                cutoff,
                bandwidth,
            )
        both = np.empty((2 if self._degraded else 1, len(numbers), self.length), dtype=np.float32)
        for row, (pair, start) in enumerate(where):
            read = self.pairs.read if self._degraded else self.pairs.original
            both[:, row] = read(pair, start, self.length)
        both /= divisor.T[: len(both), :, None]
        return Batch(torch.from_numpy(both[-1]), torch.from_numpy(both[0]), cutoff, bandwidth)
