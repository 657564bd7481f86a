"""Scoring systems on whole test tracks, all by the same road."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from overtone import audio, plots, scores, spectral
from overtone.params import check
from overtone.segments import scaled
from overtone.shards import Pairs


@dataclass(frozen=True)
class EvaluateSettings:
    """The group ``evaluate`` of params.yaml.

    Attributes:
        systems: what stands in the table beside the baselines, by the names of ``overtone.systems``.
        resamples: draws of the bootstrap over tracks.
        pictures: how many test tracks get a spectrogram and examples to listen to.
        excerpt: length of both in seconds.
        seed: of the bootstrap.
    """

    systems: tuple[str, ...]
    resamples: int
    pictures: int
    excerpt: float
    seed: int

    def __post_init__(self) -> None:
        names = list(self.systems)
        once = bool(names) and len(set(names)) == len(names)
        check(once, "evaluate.systems", names, "a list of names, at least one, each once")
        check(self.resamples >= 100, "evaluate.resamples", self.resamples, "a whole number, 100 or more")
        check(self.pictures >= 1, "evaluate.pictures", self.pictures, "a whole number, 1 or more")
        check(self.excerpt > 0.1, "evaluate.excerpt", self.excerpt, "a time in seconds, above 0.1")
        check(self.seed >= 0, "evaluate.seed", self.seed, "a whole number, 0 or more")


class Take(NamedTuple):
    """One part of a test track: degraded and original (channels, time), and its segments."""

    track_id: int
    part: int
    degraded: Tensor
    original: Tensor
    segments: pd.DataFrame


# (take, cutoff in Hz, rate in Hz) -> restored (channels, time)
System = Callable[[Take, float, int], Tensor]


def takes(pairs: Pairs, segments: pd.DataFrame) -> Iterator[Take]:
    """Yield the tracks that the segments belong to, each whole (long ones in their parts)."""
    index = pairs.index[pairs.index["track_id"].isin(segments["track_id"])]
    for _, rows in index.groupby(["track_id", "part"]):
        channels = torch.from_numpy(np.stack([pairs.read(pair) for pair in rows.index], axis=1))
        own = segments[segments["pair"].isin(rows.index)].copy()
        own["channel"] = rows.loc[own["pair"], "channel"].to_numpy()
        track_id, part = rows[["track_id", "part"]].iloc[0].tolist()
        yield Take(track_id, part, channels[1], channels[0], own)


def score(take: Take, estimate: Tensor, rate: int, cutoff: float, scale: str) -> dict[str, float]:
    """Every metric of one system on one take.

    The paper's three are taken segment by segment, scaled to a peak of 1 as its segments are, since
    they depend on the scale; the others on the whole.
    """
    reach = spectral.bandwidth(take.original, rate)
    values = scores.measure(take.original, estimate, rate, cutoff, reach)
    own = take.segments
    if own.empty:  # a last part shorter than a segment
        return values
    by_segment = []
    for channel, start, length in zip(own["channel"], own["start"], own["length"], strict=True):
        cut = slice(start, start + length)
        by_segment.append(
            scores.measure_paper(*scaled(take.original[channel, cut], estimate[channel, cut], scale))
        )
    return {key: float(np.mean([row[key] for row in by_segment])) for key in by_segment[0]} | values


class Evaluation:
    """What the systems got on the test tracks, gathered take by take."""

    def __init__(self, systems: Mapping[str, System], rate: int, cutoff: float, scale: str) -> None:
        self.systems = systems
        self.rate, self.cutoff, self.scale = rate, cutoff, scale
        self._rows: list[dict[str, object]] = []
        self._distances: dict[str, list[Tensor]] = {name: [] for name in systems}

    def add(self, take: Take) -> dict[str, Tensor]:
        """Run every system on a take and score it; returns what they made of it."""
        made = {name: system(take, self.cutoff, self.rate) for name, system in self.systems.items()}
        for name, estimate in made.items():
            values = score(take, estimate, self.rate, self.cutoff, self.scale)
            self._rows.append({"system": name, "track": str(take.track_id), **values})
            self._distances[name].append(scores.distance_by_frequency(take.original, estimate))
        return made

    def by_track(self) -> dict[str, dict[str, dict[str, float]]]:
        """System -> track -> metric -> value, mean over a track's parts that have this metric."""
        table = pd.DataFrame(self._rows).groupby(["system", "track"], sort=False).mean()
        nested: dict[str, dict[str, dict[str, float]]] = {name: {} for name in self.systems}
        for (name, track), row in zip(table.index, table.to_dict("records"), strict=True):
            nested[name][track] = {str(key): float(value) for key, value in row.items() if pd.notna(value)}
        return nested

    def distances(self) -> dict[str, tuple[Tensor, Tensor]]:
        """System -> (frequencies in Hz, log-spectral distance there), mean over takes."""
        frequencies = spectral.frequencies(self.rate)
        return {name: (frequencies, torch.stack(rows).mean(0)) for name, rows in self._distances.items()}


def show(
    number: int, take: Take, restored: Tensor, evaluation: Evaluation, seconds: float, title: str
) -> dict[str, Tensor]:
    """Draw the middle of a take as plots/spectrograms/N.png and write it as data/examples/N_*.flac.

    Returns:
        The excerpt's three versions by name, (channels, time).
    """
    time = take.original.shape[-1]
    length = min(time, round(seconds * evaluation.rate))
    middle = slice((time - length) // 2, (time - length) // 2 + length)
    degraded, made, original = (s[:, middle] for s in (take.degraded, restored, take.original))
    path = Path(f"plots/spectrograms/{number}.png")
    plots.spectrograms(degraded, made, original, evaluation.rate, evaluation.cutoff, title, path)
    versions = {"degraded": degraded, "restored": made, "original": original}
    for name, samples in versions.items():
        audio.write(Path(f"data/examples/{number}_{name}.flac"), samples.numpy(), evaluation.rate)
    return versions
