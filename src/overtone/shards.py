"""Pairs of original and degraded samples in a few int16 files.

A pair is one channel of one part of a track. In its shard, original and degraded samples lie side by
side (time, 2), so that a segment is one contiguous read::

    shard-0000.i16   o d o d o d ...| o d o d ...| ...      little-endian int16
                     pair 0          pair 1

With ``degrade.store: false`` a shard holds the originals alone, ``o o o o ...|``; ``degrade.json`` is there
then, with the settings by which `overtone.onthefly` makes the other halves when they are read.

``index.csv`` has a row per pair: pair, track_id, part, channel, shard, start (in frames of the shard),
samples, scale (what an int16 step is worth), rate and bandwidth, both in Hz; losses look no further than the
bandwidth, which of lossy music is where its codec's cliff begins.
``shards.csv`` has each shard's SHA-1, so that a run over gigabytes can be named by a file of a few
lines. ``left_out.csv`` lists the tracks that could not be used, with the reason.

Shards may also lie in an object store or a shared folder, which ``store.txt`` names, each there under its
SHA-1, so that no run is in another's way.
"""

import hashlib
import json
import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from overtone import params
from overtone.audio import parts, resample
from overtone.bandwidth import music_end
from overtone.degrade import DegradeSettings, degrade
from overtone.errors import OvertoneError
from overtone.onthefly import Damage
from overtone.places import Place, is_address, local, put, span

# Tracks longer than this are kept as several parts, so that no array is longer; with a second of
# context at each side the filters settle far below an int16 step (the slowest, a 24th-order
# elliptic, in 0.1 s).
PART_SECONDS = 120
CONTEXT_SECONDS = 1
CPU = torch.device("cpu")

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
            if len(self.rows) == rows:
                raise OvertoneError(f"{path} is shorter than one sample at {self.settings.rate} Hz")
            if loudest * 32767 < 1:
                side = self.settings.channels == "side"
                raise OvertoneError(f"{path} {'has left and right the same' if side else 'is silent'}")
        except OvertoneError as error:
            # What was written of it stays in the file as a gap that no row names.
            del self.rows[rows:]
            self.left_out.append({"track_id": track_id, "reason": str(error).removeprefix(f"{path} ")})

    def _add_part(
        self, track_id: int, part: int, samples: np.ndarray, rate: int, before: int, after: int
    ) -> float:
        """Append one part's pairs and return its peak; one too short for a sample gives none."""
        settings = self.settings
        if settings.channels == "mono":
            samples = samples.mean(axis=0, keepdims=True)
        elif settings.channels == "side":
            if len(samples) != 2:
                raise OvertoneError("is not stereo, so it has no side")
            samples = (samples[:1] - samples[1:]) / 2
        if not np.isfinite(samples).all():
            raise OvertoneError("holds samples that are not numbers (NaN or infinity)")
        original = torch.from_numpy(resample(samples, rate, settings.rate))
        first = before // rate * settings.rate
        last = first + PART_SECONDS * settings.rate if after else None
        if not original[:, first:last].numel():
            return 0.0
        reach = music_end(original, settings.rate)
        halves = [original, degrade(original, settings)] if settings.store else [original]
        kept = torch.stack([half[:, first:last] for half in halves], dim=-1)
        for channel, frames in enumerate(kept.numpy()):
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
    number: int, tracks: list[tuple[int, Place]], to: Path | str, settings: DegradeSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str, str]:
    """Write one shard of (track_id, place) tracks; what it returns does not depend on who else writes.

    It is written under a temporary name, ending in ``.part``, and renamed.

    Args:
        number: of the shard.
        tracks: what goes into it.
        to: the folder of pairs, or as text what `write_store` is given.
        settings: the group ``degrade``.

    Returns:
        (rows of the index without their number, rows of left_out.csv, name, SHA-1).
    """
    with ExitStack() as stack:
        folder = (
            to if isinstance(to, Path) else Path(stack.enter_context(TemporaryDirectory(prefix="overtone-")))
        )
        writer = stack.enter_context(ShardWriter(folder, number, settings))
        for track_id, place in tracks:
            writer.add(track_id, place)
        digest = writer.finish()
        if isinstance(to, str):
            put(folder / writer.name, _kept(to, digest))
        return writer.rows, writer.left_out, writer.name, digest


def write_store(folder: Path, address: str) -> None:
    """Write ``store.txt``: the shards lie at this address, or in the folder of this path."""
    (folder / "store.txt").write_text(f"{address}\n", encoding="utf-8")


def _kept(address: str, digest: str) -> Path | str:
    """Where a shard lies in a store."""
    name = f"{address.rstrip('/')}/{digest}.i16"
    return name if is_address(name) else Path(name)


def write_settings(folder: Path, settings: DegradeSettings) -> None:
    """Write ``degrade.json`` where the pairs need it: where their degraded halves are not stored."""
    if not settings.store:
        text = json.dumps(params.plain(settings), indent=2) + "\n"
        (folder / "degrade.json").write_text(text, encoding="utf-8")


class Pairs:
    """The pairs of a folder; no file stays open between two reads.

    Maps would hold a file each (a process is often allowed 256 or 1024; FMA small makes 1,334
    shards), and what was read through them counts as this process's memory.

    Attributes:
        index: a row per pair, as the module's docstring lists.
        rate: rate of all pairs, in Hz.
        damage: what makes the degraded halves; None where they are stored.
    """

    def __init__(self, folder: str | Path, device: torch.device = CPU) -> None:
        """Open a folder of pairs; degraded halves that `read` must make are made on the device."""
        self.folder, self.device = Path(folder), device
        self.index = pd.read_csv(self.folder / "index.csv", index_col="pair")
        if self.index.empty:
            raise OvertoneError(f"{folder} holds no pairs: every track was left out, see its left_out.csv")
        self.rate = int(self.index["rate"].iloc[0])
        columns = ("shard", "start", "samples", "scale")
        self._where = list(zip(*(self.index[column] for column in columns), strict=True))
        parts = zip(*(self.index[column] for column in ("track_id", "part", "channel")), strict=True)
        self._parts = list(parts)
        self._pair = {part: pair for pair, part in enumerate(self._parts)}
        shards = self.index["shard"].unique()
        self._files: dict[str, Path | str] = {name: self.folder / name for name in shards}
        if (self.folder / "store.txt").is_file():
            address = (self.folder / "store.txt").read_text(encoding="utf-8").strip()
            digests = pd.read_csv(self.folder / "shards.csv", index_col="shard")["sha1"]
            self._files = {name: _kept(address, digests[name]) for name in shards}
        self.damage = None
        if (self.folder / "degrade.json").is_file():
            values = json.loads((self.folder / "degrade.json").read_text(encoding="utf-8"))
            self.damage = Damage(params.build("degrade", DegradeSettings, values))

    def step(self, pair: int) -> float:
        """What an int16 step of a pair is worth."""
        return float(self._where[pair][3])

    def read(self, pair: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read (2, time) float32: original and degraded samples of a pair from ``start`` on."""
        length = self._where[pair][2] - start if length is None else length
        if self.damage is None:
            return self._frames(pair, start, start + length)
        window, offset = self.window(pair, start, length)
        places, step = torch.tensor([offset]), torch.tensor([self.step(pair)])
        windows, places, step = (t.to(self.device) for t in (torch.from_numpy(window)[None], places, step))
        made = self.damage.segments(windows, places, length, step)
        return np.concatenate([half.cpu().numpy() for half in made])

    def original(self, pair: int, start: int, length: int) -> np.ndarray:
        """Read (time,) float32: original samples alone."""
        samples: np.ndarray = self._frames(pair, start, start + length)[0]
        return samples

    def window(self, pair: int, start: int, length: int) -> tuple[np.ndarray, int]:
        """Read original samples with the context that degrading them takes, from other parts of a long track.

        Returns:
            ((time,) float32, place of ``start`` in it).
        """
        assert self.damage is not None, "stored pairs need no context"
        first, end = self.damage.window(start, length)
        track_id, part, channel = self._parts[pair]
        samples, pieces = self._where[pair][2], []
        before = self._pair.get((track_id, part - 1, channel))
        if first < 0 and before is not None:
            there = self._where[before][2]
            first = max(first, -there)
            pieces.append(self._frames(before, there + first, there)[0])
        first = first if pieces else max(first, 0)
        pieces.append(self._frames(pair, max(first, 0), min(end, samples))[0])
        after = self._pair.get((track_id, part + 1, channel))
        if end > samples and after is not None:
            pieces.append(self._frames(after, 0, min(end - samples, self._where[after][2]))[0])
        return np.concatenate(pieces), start - first

    def _frames(self, pair: int, start: int, end: int) -> np.ndarray:
        """What is stored of a pair: (2, time) float32, or (1, time) of originals alone."""
        shard, offset, _, scale = self._where[pair]
        width = 1 if self.damage else 2
        first, count = 2 * width * (offset + start), width * (end - start)  # in bytes, and in int16
        frames = np.frombuffer(span(self._files[shard], first, 2 * count), "<i2").reshape(-1, width)
        samples: np.ndarray = frames.T.astype(np.float32, order="C") * np.float32(scale)
        return samples
