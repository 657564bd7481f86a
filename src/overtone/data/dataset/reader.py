"""Read pairs of original and degraded samples from a few int16 files.

A pair is one channel of one part of a track. In its shard, original and degraded samples lie side by
side (time, 2), so that a segment is one contiguous read::

    shard-0000.i16   o d o d o d ...| o d o d ...| ...      little-endian int16
                     pair 0          pair 1

With ``degrade.store: false`` a shard holds only the originals, ``o o o o ...|``, and ``degrade.json`` the
settings by which `overtone.data.dataset.on_the_fly` degrades them when they are read.

``index.csv`` has a row per pair: pair, track_id, part, channel, shard, start (in frames of the shard),
samples, scale (value of an int16 step), rate and bandwidth, both in Hz. Losses ignore what lies above the
bandwidth, which in lossy music ends where the codec's cliff begins.
``shards.csv`` has each shard's SHA-1, so that a run over gigabytes can be named by a file of a few
lines. ``left_out.csv`` lists the tracks that could not be used, with the reason.

Shards may also lie in an object store or a shared folder, which ``store.txt`` names; each has its SHA-1 as
its name there, so that runs do not overwrite each other's.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.core.storage import read_range
from overtone.data.dataset.on_the_fly import OnTheFlyDegradation
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.pairs.format import shard_location

CPU = torch.device("cpu")


class Pairs:
    """The pairs of a folder; no file stays open between two reads.

    Memory maps would keep a file open each (a process is often allowed 256 or 1024; FMA small has 1,334
    shards), and the pages read through them count as this process's memory.

    Attributes:
        index: a row per pair, as the module's docstring lists.
        rate: rate of all pairs, in Hz.
        damage: computes the degraded halves; None where they are stored.
    """

    def __init__(self, folder: str | Path, device: torch.device = CPU) -> None:
        """Open a folder of pairs; `read` computes degraded halves that are not stored on the device."""
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
            self._files = {name: shard_location(address, digests[name]) for name in shards}
        self.damage = None
        if (self.folder / "degrade.json").is_file():
            values = json.loads((self.folder / "degrade.json").read_text(encoding="utf-8"))
            self.damage = OnTheFlyDegradation(params.build("degrade", DegradeSettings, values))

    def step(self, pair: int) -> float:
        """Return the value of an int16 step of a pair."""
        return float(self._where[pair][3])

    def read(self, pair: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read (2, time) float32: original and degraded samples of a pair from ``start`` on."""
        length = self._where[pair][2] - start if length is None else length
        if self.damage is None:
            return self._frames(pair, start, start + length)
        window, offset = self.window(pair, start, length)
        offsets, step = torch.tensor([offset]), torch.tensor([self.step(pair)])
        windows, offsets, step = (t.to(self.device) for t in (torch.from_numpy(window)[None], offsets, step))
        halves = self.damage.segments(windows, offsets, length, step)
        return np.concatenate([half.cpu().numpy() for half in halves])

    def original(self, pair: int, start: int, length: int) -> np.ndarray:
        """Read (time,) float32: only original samples."""
        samples: np.ndarray = self._frames(pair, start, start + length)[0]
        return samples

    def window(self, pair: int, start: int, length: int) -> tuple[np.ndarray, int]:
        """Read original samples with the context that degrading needs, from other parts of a long track, too.

        Returns:
            ((time,) float32, index of ``start`` in it).
        """
        assert self.damage is not None, "stored pairs need no context"
        first, end = self.damage.window(start, length)
        track_id, part, channel = self._parts[pair]
        samples, pieces = self._where[pair][2], []
        before = self._pair.get((track_id, part - 1, channel))
        if first < 0 and before is not None:
            length_before = self._where[before][2]
            first = max(first, -length_before)
            pieces.append(self._frames(before, length_before + first, length_before)[0])
        first = first if pieces else max(first, 0)
        pieces.append(self._frames(pair, max(first, 0), min(end, samples))[0])
        after = self._pair.get((track_id, part + 1, channel))
        if end > samples and after is not None:
            pieces.append(self._frames(after, 0, min(end - samples, self._where[after][2]))[0])
        return np.concatenate(pieces), start - first

    def _frames(self, pair: int, start: int, end: int) -> np.ndarray:
        """Read the stored samples of a pair: (2, time) float32, or (1, time) of originals only."""
        shard, offset, _, scale = self._where[pair]
        width = 1 if self.damage else 2
        first, count = 2 * width * (offset + start), width * (end - start)  # in bytes, and in int16
        frames = np.frombuffer(read_range(self._files[shard], first, 2 * count), "<i2").reshape(-1, width)
        samples: np.ndarray = frames.T.astype(np.float32, order="C") * np.float32(scale)
        return samples
