"""What the test takes gave, gathered: scores by track, distances by frequency, and what each system took."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from overtone.audio import stft
from overtone.evaluation.comparison import alignment, intervals, systems
from overtone.evaluation.comparison.chunks import EvaluateSettings
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.score_chunk import ChunkScores, RowScores
from overtone.evaluation.comparison.systems import ALIGNED, Baseline, Prepared, System
from overtone.evaluation.metrics import c2st

ByTrack = dict[str, dict[str, dict[str, float]]]  # system -> track -> metric -> value


class Results:
    """What all systems have of all takes at one cutoff; takes are added in order.

    Attributes:
        cutoff: in Hz.
        failed: why a program has no rows, by its name; one that failed on a take has failed.
    """

    def __init__(self, prepared: Prepared, rate: int, cutoff: float) -> None:
        self.cutoff = cutoff
        self.failed = dict(prepared.failed)
        self._rate = rate
        self._prepared = prepared
        self._takes: list[ChunkScores] = []

    def add(self, judged: ChunkScores) -> None:
        """Count a take in."""
        self._takes.append(judged._replace(excerpts={}))
        self.failed = judged.failed | self.failed

    def rows(self) -> dict[str, list[RowScores]]:
        """The rows of the table in their order, each with its takes.

        A failed program has none, and neither has a network's aligned output where all was in its place.
        """
        found = {}
        for system in self._prepared.systems:
            if system.name in self.failed:
                continue
            for name in systems.rows(system):
                of_takes = [take.rows[name] for take in self._takes]
                if not name.endswith(ALIGNED) or alignment.describe(_corrections(of_takes), self._rate):
                    found[name] = of_takes
        return found

    def by_track(self) -> ByTrack:
        """Every metric, mean over a track's sounding parts that have it, weighted by their lengths.

        The probe's is one of all tracks.
        """
        tracks = [str(take.track_id) for take in self._takes]
        by_row = self.rows()
        nested: ByTrack = {
            name: {
                track: _mean([(weight, one.values) for weight, one in parts])
                for track, parts in self._sounding(of_takes).items()
            }
            for name, of_takes in by_row.items()
        }
        real = _joined(tracks, [take.seen for take in self._takes])
        if len(real) >= c2st.MIN_TRACKS:
            for name, of_takes in by_row.items():
                told = c2st.by_track(real, _joined(tracks, [one.seen for one in of_takes]))
                for track, share in told.items():
                    nested[name][track]["c2st"] = 100 * share
        return nested

    def distances(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Row -> (frequencies in Hz, log-spectral distance there): rms within a track, mean of tracks."""
        frequencies = stft.frequencies(self._rate)
        found = {}
        for name, of_takes in self.rows().items():
            of_tracks = []
            for parts in self._sounding(of_takes).values():
                weights, squares = zip(*((weight, one.distance**2) for weight, one in parts), strict=True)
                of_tracks.append(torch.from_numpy(np.sqrt(np.average(squares, axis=0, weights=weights))))
            found[name] = frequencies, torch.stack(of_tracks).mean(0)
        return found

    def _sounding(self, of_takes: Sequence[RowScores]) -> dict[str, list[tuple[int, RowScores]]]:
        """Track -> the parts of it that are not silent, each with its weight.

        What a system makes of silence says nothing, and would count for a whole part's music.
        """
        found: dict[str, list[tuple[int, RowScores]]] = {}
        for take, one in zip(self._takes, of_takes, strict=True):
            if take.weight:
                found.setdefault(str(take.track_id), []).append((take.weight, one))
        return found

    def distance_table(self) -> pd.DataFrame:
        """List the distance of every row at every frequency.

        Returns:
            system; kind (``baseline``, ``system``, or ``network``: a network's own output); frequency_hz;
            distance_bel; ended, the share of the originals whose bandwidth lies below that frequency.
        """
        kinds = {system.name: "baseline" for system in self._prepared.systems if isinstance(system, Baseline)}
        kinds |= {system.name: "system" for system in self._prepared.systems if system.name not in kinds}
        ends = np.array([take.reach for take in self._takes if take.weight])
        tables = []
        for name, (frequencies, distance) in self.distances().items():
            hertz = frequencies.numpy()
            columns = {
                "system": name,
                "kind": kinds.get(name, "network"),
                "frequency_hz": hertz,
                "distance_bel": distance.numpy(),
                "ended": (ends[:, None] < hertz).mean(0),
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables)

    def costs(self) -> dict[str, Any]:
        """List cost and alignment of every row, and why a failed system has none: data/systems.json."""
        found: dict[str, Any] = {}
        by_row = self.rows()
        for system in self._prepared.systems:
            for name in systems.rows(system):
                if name in by_row:
                    cost = self._prepared.costs.get(system.name) or _sum(by_row[name])
                    found[name] = cost.json() | self._alignment(system, name, _corrections(by_row[name]))
                    remarks = [_separated(by_row[name]), found[name]["note"]]
                    found[name]["note"] = "; ".join(filter(None, remarks))
        return found | {name: {"failed": reason} for name, reason in self.failed.items()}

    def _alignment(
        self, system: System, name: str, corrections: Sequence[alignment.Correction]
    ) -> dict[str, Any]:
        """What aligning found of a row, in words and figures."""
        if not corrections:
            return {"note": ""}
        note = alignment.describe(corrections, self._rate)
        if not note:
            note = "in its place: 0 samples late, 0 dB"
        elif not isinstance(system, systems.Outside) and name == systems.name_alone(system.name):
            note = f"as it comes: {note}"
        else:
            note = f"corrected: {note}"
        return {"note": note, "aligning": alignment.summary(corrections)}


def results(
    gathered: Sequence[Results],
    scores: Sequence[ByTrack],
    genres: Mapping[str, str],
    settings: EvaluateSettings,
) -> dict[str, Any]:
    """What `overtone.report.tables` writes and shows: the pipeline's own cutoff, and under "cutoffs" all if
    several.

    Args:
        gathered, scores: by cutoff, the pipeline's own first; the scores are its `Gathered.by_track`.
        genres: track -> genre.
        settings: the group ``evaluate``.
    """
    by_cutoff = {}
    for one, of_tracks in zip(gathered, scores, strict=True):
        # Others are compared with the model of this run; without it, with the first that is there.
        against = next((name for name in ("model", *settings.systems) if name in of_tracks), "model")
        found = intervals.summarize(of_tracks, genres, settings.resamples, settings.seed, against)
        by_cutoff[f"{one.cutoff:g}"] = found | ({"failed": one.failed} if one.failed else {})
    first = next(iter(by_cutoff.values()))
    if len(by_cutoff) == 1:
        return first
    return first | {
        "cutoffs": {
            cutoff: {key: value for key, value in found.items() if key != "genres"}
            for cutoff, found in by_cutoff.items()
        }
    }


def _mean(parts: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Each metric's mean over the parts that have it, by their weights."""
    found = {}
    for key in dict.fromkeys(key for _, values in parts for key in values):
        weights, having = zip(*((weight, own[key]) for weight, own in parts if key in own), strict=True)
        found[key] = float(np.average(having, weights=weights))
    return found


def _corrections(of_takes: Sequence[RowScores]) -> list[alignment.Correction]:
    return [one.correction for one in of_takes if one.correction]


def _separated(of_takes: Sequence[RowScores]) -> str:
    """What separating into stems found; empty where nothing was separated."""
    found = [one.findings for one in of_takes if one.findings]
    if not found:
        return ""
    total = dataclasses.replace(found[0])
    for one in found[1:]:
        total.add(one)
    share = total.seconds / max(_sum(of_takes).seconds, 1e-9)
    return f"{total.line()}, {share:.0%} of the time separating"


def _sum(of_takes: Sequence[RowScores]) -> Cost:
    total = Cost()
    for one in of_takes:
        total.add(one.cost)
    return total


def _joined(tracks: Sequence[str], seen: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Track -> what the probe sees of all its parts."""
    parts: dict[str, list[np.ndarray]] = {}
    for track, one in zip(tracks, seen, strict=True):
        if one is not None:
            parts.setdefault(track, []).append(one)
    return {track: np.concatenate(of_track) for track, of_track in parts.items()}
