"""Decode tracks, degrade them and write their pairs into a shard."""

import hashlib
import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from overtone.audio.bandwidth import music_end
from overtone.audio.resample import resample
from overtone.audio.soundfiles import read_chunks
from overtone.core import atomic, params
from overtone.core.errors import OvertoneError
from overtone.core.storage import Location, local_copy, upload
from overtone.data.pairs.degradation import DegradeSettings, degrade
from overtone.data.pairs.format import INDEX, shard_location

# Longer tracks are stored as several parts, which bounds the size of arrays. With a second of context at
# each side the filters settle far below an int16 step (the slowest, a 24th-order elliptic, in 0.1 s).
PART_SECONDS = 120
CONTEXT_SECONDS = 1


class ShardWriter:
    """Write the pairs of a few tracks into a shard, a track at a time; an unfinished shard is deleted."""

    def __init__(self, folder: Path, number: int, settings: DegradeSettings) -> None:
        self.name = f"shard-{number:04d}.i16"
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self._frames = 0
        self._hash = hashlib.sha1(usedforsecurity=False)
        # A worker that a cluster takes for dead may still be writing while another repeats its work.
        self._part = folder / f"{self.name}.{secrets.token_hex(4)}.part"
        self._file = self._part.open("wb")

    def add(self, track_id: int, location: Location) -> None:
        """Decode, degrade and append a track; list a track that cannot be used with the reason."""
        # A store that does not answer is no fault of the track's: that error passes.
        with local_copy(location) as path:
            self._add(track_id, path)

    def _add(self, track_id: int, path: Path) -> None:
        rows = len(self.rows)
        try:
            loudest = 0.0
            for part, (samples, rate, before, after) in enumerate(
                read_chunks(path, PART_SECONDS, CONTEXT_SECONDS)
            ):
                loudest = max(loudest, self._add_part(track_id, part, samples, rate, before, after))
            if len(self.rows) == rows:
                raise OvertoneError(f"{path} is shorter than one sample at {self.settings.rate} Hz")
            if loudest * 32767 < 1:
                side = self.settings.channels == "side"
                raise OvertoneError(f"{path} {'has left and right the same' if side else 'is silent'}")
        except OvertoneError as error:
            # Samples written already stay in the file as a gap that no row names.
            del self.rows[rows:]
            self.left_out.append({"track_id": track_id, "reason": str(error).removeprefix(f"{path} ")})

    def _add_part(
        self, track_id: int, part: int, samples: np.ndarray, rate: int, before: int, after: int
    ) -> float:
        """Append a part's pairs and return its peak; a part without a sample at the new rate has none."""
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
        reach = music_end(original.numpy(), settings.rate)
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
    number: int, tracks: list[tuple[int, Location]], to: Path | str, settings: DegradeSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str, str]:
    """Write a shard of tracks, given as (track_id, location); its result does not depend on other writers.

    The shard is written under a temporary name, ending in ``.part``, and renamed.

    Args:
        number: of the shard.
        tracks: those of the shard.
        to: the folder of pairs, or as text the address for `write_store`.
        settings: the group ``degrade``.

    Returns:
        (rows of the index without their number, rows of left_out.csv, name, SHA-1).
    """
    with ExitStack() as stack:
        folder = (
            to if isinstance(to, Path) else Path(stack.enter_context(TemporaryDirectory(prefix="overtone-")))
        )
        writer = stack.enter_context(ShardWriter(folder, number, settings))
        for track_id, location in tracks:
            writer.add(track_id, location)
        digest = writer.finish()
        if isinstance(to, str):
            upload(folder / writer.name, shard_location(to, digest))
        return writer.rows, writer.left_out, writer.name, digest


def write_store(folder: Path, address: str) -> None:
    """Write ``store.txt``: the shards lie at this address, or in the folder of this path."""
    atomic.write_text(f"{address}\n", folder / "store.txt")


def write_settings(folder: Path, settings: DegradeSettings) -> None:
    """Write ``degrade.json`` if the degraded halves are not stored."""
    if not settings.store:
        atomic.write_json(params.plain(settings), folder / "degrade.json")
