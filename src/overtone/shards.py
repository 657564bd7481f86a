"""Pairs of original and degraded samples in a few int16 files, and segments of them.

A pair is one channel of one part of a track. In its shard, original and degraded samples lie side by
side (time, 2), so that a segment is one contiguous read::

    shard-0000.i16   o d o d o d ...| o d o d ...| ...      little-endian int16
                     pair 0          pair 1

``index.csv`` has a row per pair: pair, track_id, part, channel, shard, start (in frames of the shard),
samples, scale (what an int16 step is worth), rate and the original's bandwidth, both in Hz.
``shards.csv`` has each shard's SHA-1, so that a run over gigabytes can be named by a file of a few
lines. ``left_out.csv`` lists the tracks that could not be used, with the reason.
"""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from overtone import spectral
from overtone.audio import parts, resample
from overtone.augment import Batch
from overtone.degrade import DegradeSettings, degrade
from overtone.errors import OvertoneError
from overtone.params import check, one_of
from overtone.places import Place, local

# Tracks longer than this are kept as several parts, so that no array is longer; with a second of
# context at each side the filters settle far below an int16 step (the slowest, a 24th-order
# elliptic, in 0.1 s).
PART_SECONDS = 120
CONTEXT_SECONDS = 1

INDEX = ("pair", "track_id", "part", "channel", "shard", "start", "samples", "scale", "rate", "bandwidth")


class ShardWriter:
    """Writes the pairs of a few tracks into one shard, a track at a time; unfinished, it leaves nothing."""

    def __init__(self, folder: Path, number: int, settings: DegradeSettings) -> None:
        self.name = f"shard-{number:04d}.i16"
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self._frames = 0
        self._hash = hashlib.sha1(usedforsecurity=False)
        # A worker that a cluster takes for dead may be writing still while another does its work anew.
        self._part = folder / f"{self.name}.{secrets.token_hex(4)}.part"
        self._file = self._part.open("wb")

    def add(self, track_id: int, place: Place) -> None:
        """Decode, degrade and append one track; one that cannot be used is listed with its reason."""
        # A store that does not answer is no fault of the track's: that error passes.
        with local(place) as path:
            self._add(track_id, path)

    def _add(self, track_id: int, path: Path) -> None:
        rows = len(self.rows)
        try:
            loudest = 0.0
            for part, (samples, rate, before, after) in enumerate(parts(path, PART_SECONDS, CONTEXT_SECONDS)):
                loudest = max(loudest, self._add_part(track_id, part, samples, rate, before, after))
            if loudest * 32767 < 1:
                raise OvertoneError(f"{path} is silent")
        except OvertoneError as error:
            # What was written of it stays in the file as a gap that no row names.
            del self.rows[rows:]
            self.left_out.append({"track_id": track_id, "reason": str(error).removeprefix(f"{path} ")})

    def _add_part(
        self, track_id: int, part: int, samples: np.ndarray, rate: int, before: int, after: int
    ) -> float:
        """Append one part's pairs and return its peak."""
        settings = self.settings
        if settings.channels == "mono":
            samples = samples.mean(axis=0, keepdims=True)
        if not np.isfinite(samples).all():
            raise OvertoneError("holds samples that are not numbers (NaN or infinity)")
        original = torch.from_numpy(resample(samples, rate, settings.rate))
        degraded = degrade(original, settings)
        reach = spectral.bandwidth(original, settings.rate)
        first = before // rate * settings.rate
        last = first + PART_SECONDS * settings.rate if after else None
        both = torch.stack([original[:, first:last], degraded[:, first:last]], dim=-1)
        for channel, frames in enumerate(both.numpy()):
            # Decoded MP3 goes beyond full scale; a scale of its own keeps it unclipped.
            scale = max(1.0, float(np.abs(frames).max())) / 32767
            data = np.rint(frames / np.float32(scale)).astype("<i2").tobytes()
            self._file.write(data)
            self._hash.update(data)
            row = (track_id, part, channel, self.name, self._frames, len(frames), scale, settings.rate, reach)
            self.rows.append(dict(zip(INDEX[1:], row, strict=True)))
            self._frames += len(frames)
        return float(original[:, first:last].abs().max())

    def finish(self) -> str:
        """Give the file its name and return its SHA-1."""
        self._file.close()
        self._part.replace(self._part.with_name(self.name))
        return self._hash.hexdigest()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def write_shard(
    number: int, tracks: list[tuple[int, Place]], folder: Path, settings: DegradeSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str, str]:
    """Write one shard of (track_id, place) tracks; what it returns does not depend on who else writes.

    It is written under a temporary name, ending in ``.part``, and renamed.

    Returns:
        (rows of the index without their number, rows of left_out.csv, name, SHA-1).
    """
    with ShardWriter(folder, number, settings) as writer:
        for track_id, place in tracks:
            writer.add(track_id, place)
        return writer.rows, writer.left_out, writer.name, writer.finish()


class Pairs:
    """The pairs of a folder; no file stays open between two reads.

    Maps would hold a file each (a process is often allowed 256 or 1024; FMA small makes 1,334
    shards), and what was read through them counts as this process's memory.

    Attributes:
        index: a row per pair, as the module's docstring lists.
        rate: rate of all pairs, in Hz.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.index = pd.read_csv(self.folder / "index.csv", index_col="pair")
        if self.index.empty:
            raise OvertoneError(f"{folder} holds no pairs: every track was left out, see its left_out.csv")
        self.rate = int(self.index["rate"].iloc[0])
        columns = ("shard", "start", "samples", "scale")
        self._where = list(zip(*(self.index[column] for column in columns), strict=True))

    def read(self, pair: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read (2, time) float32: original and degraded samples of a pair from ``start`` on."""
        shard, offset, samples, scale = self._where[pair]
        length = samples - start if length is None else length
        first = 2 * 2 * (offset + start)  # bytes: two int16 a frame
        frames = np.fromfile(self.folder / shard, "<i2", 2 * length, offset=first).reshape(-1, 2)
        return frames.T.astype(np.float32, order="C") * np.float32(scale)


@dataclass(frozen=True)
class SegmentSettings:
    """The group ``segment`` of params.yaml.

    Attributes:
        length: samples of a segment.
        hop: samples from one segment's start to the next.
        skip: seconds left out at a track's start; FMA's clips begin 5 to 8 times too quiet for 25 ms.
        silence: segments whose original stays under this peak are left out.
        per_track: how many segments a track gives, evenly spaced; null for all.
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
        check(self.skip >= 0, "segment.skip", self.skip, "a time in seconds, 0 or more")
        check(0 <= self.silence < 1, "segment.silence", self.silence, "a peak, 0 or more and below 1")
        many = self.per_track is None or self.per_track >= 1
        check(many, "segment.per_track", self.per_track, "a whole number, 1 or more, or null for all")
        one_of("segment.scale", self.scale, ("shared", "separate"))


def cut(pairs: Pairs, settings: SegmentSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the segments of all pairs.

    Returns:
        (segments, left out): columns track_id, pair, start, length, peak_original, peak_degraded; and
        columns track_id, reason for tracks that gave none.
    """
    rows: list[tuple[int, int, int, int, float, float]] = []
    left_out = []
    for track_id, group in pairs.index.groupby("track_id", sort=True):
        found = []
        for pair, samples in group["samples"].items():
            last = int(samples) - settings.length
            starts = range(round(settings.skip * pairs.rate), last + 1, settings.hop)
            if not starts:
                continue
            whole = np.abs(pairs.read(int(str(pair))))
            for start in starts:
                peaks = whole[:, start : start + settings.length].max(axis=1)
                found.append((track_id, pair, start, settings.length, float(peaks[0]), float(peaks[1])))
        heard = [row for row in found if row[4] > settings.silence and row[5] > 0]
        if not heard:
            reason = "every segment is silent" if found else "shorter than a segment"
            left_out.append({"track_id": track_id, "reason": reason})
        if settings.per_track is not None and len(heard) > settings.per_track:
            spaced = np.linspace(0, len(heard) - 1, settings.per_track).round().astype(int)
            heard = [heard[place] for place in spaced]
        rows += heard  # type: ignore[arg-type]
    columns = ["track_id", "pair", "start", "length", "peak_original", "peak_degraded"]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(left_out, columns=["track_id", "reason"])


def scaled(original: torch.Tensor, other: torch.Tensor, scale: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring a pair of segments to a peak of 1: by the original's (``shared``), or each by its own."""
    peak = original.abs().max().clamp_min(1e-9)
    return original / peak, other / (other.abs().max().clamp_min(1e-9) if scale == "separate" else peak)


class Segments:
    """The segments of one split as batches of tensors, scaled to a peak of 1."""

    def __init__(self, pairs: Pairs, table: pd.DataFrame, scale: str, cutoff: float) -> None:
        self.pairs = pairs
        self.rate = pairs.rate
        self._cutoff = cutoff
        self._bandwidth = pairs.index["bandwidth"].reindex(table["pair"]).to_numpy(np.float32)
        self.length = int(table["length"].iloc[0])
        self._where = list(zip(table["pair"], table["start"], strict=True))
        peaks = table[["peak_original", "peak_degraded"]].to_numpy(np.float32)
        self._divisor = peaks if scale == "separate" else peaks[:, [0, 0]]

    def __len__(self) -> int:
        return len(self._where)

    def batch(self, places: list[int]) -> Batch:
        """Read segments by their place."""
        both = np.empty((2, len(places), self.length), dtype=np.float32)
        for row, place in enumerate(places):
            pair, start = self._where[place]
            both[:, row] = self.pairs.read(pair, start, self.length) / self._divisor[place][:, None]
        cutoff = torch.full((len(places),), self._cutoff)
        bandwidth = torch.from_numpy(self._bandwidth[places])
        return Batch(torch.from_numpy(both[1]), torch.from_numpy(both[0]), cutoff, bandwidth)
