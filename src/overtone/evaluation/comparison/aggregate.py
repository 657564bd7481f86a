"""Aggregate chunk results into per-track scores, distance over frequency, and runtime cost per system."""

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
from overtone.evaluation.comparison.named_systems import Prepared
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.score_chunk import ChunkScores
from overtone.evaluation.comparison.systems import ALIGNED, Baseline, Output, Outside, System
from overtone.evaluation.metrics import c2st

ByTrack = dict[str, dict[str, dict[str, float]]]  # system -> track -> metric -> value


class Results:
    """The results of all systems at one cutoff; chunks are added in order.

    Attributes:
        cutoff: in Hz.
        failed: reason of failure of a program, by name; one that failed on a chunk has no row.
    """

    def __init__(self, prepared: Prepared, rate: int, cutoff: float) -> None:
        self.cutoff = cutoff
        self.failed = dict(prepared.failed)
        self._rate = rate
        self._prepared = prepared
        self._chunks: list[ChunkScores] = []

    def add(self, chunk: ChunkScores) -> None:
        """Add the scores of a chunk."""
        self._chunks.append(chunk._replace(excerpts={}))
        self.failed = chunk.failed | self.failed

    def rows(self) -> dict[str, list[Output]]:
        """List the rows of the table in their order, each with its outputs by chunk.

        A failed program has no row. A network has no aligned row if alignment changes nothing.
        """
        found = {}
        for system in self._prepared.systems:
            if system.name in self.failed:
                continue
            for name in systems.rows(system):
                outputs = [chunk.outputs[name] for chunk in self._chunks]
                changed = any(alignment.applied(output.correction, self._rate) for output in outputs)
                if changed or not name.endswith(ALIGNED):
                    found[name] = outputs
        return found

    def by_track(self) -> ByTrack:
        """Compute every metric by track: the mean over chunks that are not silent, weighted by length.

        The classifier two-sample test (C2ST) takes the chunks of all tracks together.
        """
        tracks = [str(chunk.track_id) for chunk in self._chunks]
        by_row = self.rows()
        scores: ByTrack = {
            name: {
                track: _weighted_means([(weight, output.scores) for weight, output in weighted])
                for track, weighted in self._by_track(outputs).items()
            }
            for name, outputs in by_row.items()
        }
        real = _concatenate(tracks, [chunk.features for chunk in self._chunks])
        if len(real) >= c2st.MIN_TRACKS:
            for name, outputs in by_row.items():
                restored = _concatenate(tracks, [output.features for output in outputs])
                for track, share in c2st.by_track(real, restored).items():
                    scores[name][track]["c2st"] = 100 * share
        return scores

    def distances(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Map each row to frequencies in Hz and the distance there: rms within a track, mean of tracks."""
        frequencies = torch.from_numpy(stft.frequencies(self._rate))
        found = {}
        for name, outputs in self.rows().items():
            of_tracks = []
            for weighted in self._by_track(outputs).values():
                weights, squares = zip(*((weight, one.distance**2) for weight, one in weighted), strict=True)
                of_tracks.append(torch.from_numpy(np.sqrt(np.average(squares, axis=0, weights=weights))))
            found[name] = frequencies, torch.stack(of_tracks).mean(0)
        return found

    def _by_track(self, outputs: Sequence[Output]) -> dict[str, list[tuple[int, Output]]]:
        """Map each track to its outputs with their weights, without those for silent chunks.

        An output for silence shows nothing, and would count as much as a full chunk of music.
        """
        found: dict[str, list[tuple[int, Output]]] = {}
        for chunk, output in zip(self._chunks, outputs, strict=True):
            if chunk.weight:
                found.setdefault(str(chunk.track_id), []).append((chunk.weight, output))
        return found

    def distance_table(self) -> pd.DataFrame:
        """List the distance of every row at every frequency.

        Returns:
            system; kind (``baseline``, ``system``, or ``network``: a network's own output); frequency_hz;
            distance_bel; ended, the share of the originals whose bandwidth lies below that frequency.
        """
        kinds = {system.name: "baseline" for system in self._prepared.systems if isinstance(system, Baseline)}
        kinds |= {system.name: "system" for system in self._prepared.systems if system.name not in kinds}
        ends = np.array([chunk.bandwidth for chunk in self._chunks if chunk.weight])
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
        """List cost and alignment of every row, and the reason of a failed system: data/systems.json."""
        found: dict[str, Any] = {}
        for system, name, outputs in self._system_rows():
            cost = self._prepared.costs.get(system.name) or _total_cost(outputs)
            corrections = _corrections(outputs)
            notes = [_separation_note(outputs), self._alignment_note(system, name, corrections)]
            found[name] = cost.json() | {"note": "; ".join(filter(None, notes))}
            if corrections:
                found[name]["aligning"] = alignment.summary(corrections)
        return found | {name: {"failed": reason} for name, reason in self.failed.items()}

    def remarks(self) -> dict[str, str]:
        """List the rows with a large correction, and whether it was applied: they may mislead a reader."""
        found = {}
        for system, name, outputs in self._system_rows():
            large = [correction for correction in _corrections(outputs) if correction.large]
            if large:
                applied = "corrected" if isinstance(system, Outside) else "not corrected"
                some = f" in {len(large)} of {len(outputs)} files" * (len(large) < len(outputs))
                found[name] = f"{alignment.describe(large, self._rate)}{some}: {applied}"
        return found

    def _system_rows(self) -> list[tuple[System, str, list[Output]]]:
        """List system, name and outputs of every row."""
        by_row = self.rows()
        named = ((system, name) for system in self._prepared.systems for name in systems.rows(system))
        return [(system, name, by_row[name]) for system, name in named if name in by_row]

    def _alignment_note(self, system: System, name: str, corrections: Sequence[alignment.Correction]) -> str:
        """Describe the alignment of a row; empty for a baseline."""
        if not corrections:
            return ""
        note = alignment.describe(corrections, self._rate)
        if not note:
            return "no correction: 0 samples late, 0 dB"
        large = sum(correction.large for correction in corrections)
        if isinstance(system, Outside):
            return f"corrected: {note}{'; a large correction' if large else ''}"
        if name == systems.name_alone(system.name):
            return f"not corrected: {note}{'; too much to align' if large else ''}"
        some = f"; not in {large} of {len(corrections)} files: too much to align" if large else ""
        return f"corrected: {note}{some}"


def results(
    compared: Sequence[Results],
    scores: Sequence[ByTrack],
    genres: Mapping[str, str],
    settings: EvaluateSettings,
) -> dict[str, Any]:
    """Compute the content of metrics/test.json: the pipeline's cutoff, and all under "cutoffs" if several.

    Args:
        compared, scores: by cutoff, the pipeline's own first; the scores are `Results.by_track`.
        genres: track -> genre.
        settings: the group ``evaluate``.
    """
    by_cutoff = {}
    for of_cutoff, by_track in zip(compared, scores, strict=True):
        # The reference is the model of this run; without it, the first of the named systems with a row.
        against = next((name for name in ("model", *settings.systems) if name in by_track), "model")
        found = intervals.summarize(by_track, genres, settings.resamples, settings.seed, against)
        notes = {"failed": of_cutoff.failed, "remarks": of_cutoff.remarks()}
        by_cutoff[f"{of_cutoff.cutoff:g}"] = found | {name: note for name, note in notes.items() if note}
    first = next(iter(by_cutoff.values()))
    if len(by_cutoff) == 1:
        return first
    without_genres = {
        cutoff: {key: value for key, value in found.items() if key != "genres"}
        for cutoff, found in by_cutoff.items()
    }
    return first | {"cutoffs": without_genres}


def _weighted_means(weighted: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Compute the weighted mean of each metric over the chunks that have it."""
    found = {}
    for key in dict.fromkeys(key for _, scores in weighted for key in scores):
        weights, values = zip(
            *((weight, scores[key]) for weight, scores in weighted if key in scores), strict=True
        )
        found[key] = float(np.average(values, weights=weights))
    return found


def _corrections(outputs: Sequence[Output]) -> list[alignment.Correction]:
    return [output.correction for output in outputs if output.correction]


def _separation_note(outputs: Sequence[Output]) -> str:
    """Describe the separation into stems; empty if there was none."""
    found = [output.findings for output in outputs if output.findings]
    if not found:
        return ""
    total = dataclasses.replace(found[0])
    for findings in found[1:]:
        total.add(findings)
    share = total.seconds / max(_total_cost(outputs).seconds, 1e-9)
    return f"{total.line()}, {share:.0%} of the time separating"


def _total_cost(outputs: Sequence[Output]) -> Cost:
    total = Cost()
    for output in outputs:
        total.add(output.cost)
    return total


def _concatenate(tracks: Sequence[str], features: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Map each track to the features of all its chunks."""
    found: dict[str, list[np.ndarray]] = {}
    for track, of_chunk in zip(tracks, features, strict=True):
        if of_chunk is not None:
            found.setdefault(track, []).append(of_chunk)
    return {track: np.concatenate(of_track) for track, of_track in found.items()}
