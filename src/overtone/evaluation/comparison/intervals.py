"""Means of per-track scores with bootstrap intervals, and comparisons track by track."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from overtone.core.atomic import replacing
from overtone.evaluation.metrics import significance
from overtone.evaluation.metrics.registry import SCORES, TESTED


def summarize(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    genres: Mapping[str, str],
    resamples: int = 1000,
    seed: int = 0,
    against: str = "model",
) -> dict[str, Any]:
    """Per-track scores become means, with 95 % percentile bootstrap intervals over the tracks.

    Args:
        scores: system -> track -> metric -> value; every system on the same tracks. A metric that a
            track lacks (or has as NaN) is a mean over the others, and one that no track has is left out.
        genres: track -> genre; an empty genre is shown as "none".
        resamples: how often the tracks are drawn again, with replacement, and how often signs are
            flipped; the same draws serve all systems and metrics.
        seed: of those draws.
        against: the system that the others are compared with, track by track; left out if it is not there.

    Returns:
        ``{"tracks": n, "systems": {system: {metric: interval}}, "genres": {genre: {system: {metric:
        interval}}}, "paired": {"against": against, "systems": {system: {metric: comparison}}}}``. An
        interval is ``{"mean", "low", "high"}``; a comparison, of the metrics in TESTED, is one of the
        differences (system - against) with their ``"p"`` (`overtone.evaluation.metrics.significance`). Five
        significant digits.
    """
    tracks = sorted(next(iter(scores.values())))
    groups: dict[str, list[int]] = {}
    for index, track in enumerate(tracks):
        groups.setdefault(genres[track] or "none", []).append(index)
    every = _drawn(list(range(len(tracks))), len(tracks), resamples, seed)
    inside = {name: _drawn(groups[name], len(tracks), resamples, seed) for name in sorted(groups)}
    values = {
        system: {
            key: np.array([of_track[track].get(key, math.nan) for track in tracks], dtype=float)
            for key in SCORES
        }
        for system, of_track in scores.items()
    }
    return {
        "tracks": len(tracks),
        "systems": {system: _intervals(columns, every) for system, columns in values.items()},
        "genres": {
            name: {system: _intervals(columns, drawn) for system, columns in values.items()}
            for name, drawn in inside.items()
        },
        "paired": {"against": against, "systems": _comparisons(values, against, every, seed)},
    }


def _drawn(members: list[int], tracks: int, resamples: int, seed: int) -> np.ndarray:
    """How often each draw holds each track, (1 + resamples, tracks); the first holds every member once."""
    draws = np.random.default_rng(seed).choice(members, size=(resamples, len(members)))
    counts = np.zeros((1 + resamples, tracks))
    counts[0, members] = 1
    np.add.at(counts[1:], (np.arange(resamples)[:, None], draws), 1)
    return counts


def _intervals(columns: Mapping[str, np.ndarray], drawn: np.ndarray) -> dict[str, dict[str, float]]:
    """Metric -> interval, of those that some track has; a draw of tracks that all lack it is left out."""
    found = {}
    for key, column in columns.items():
        there = ~np.isnan(column)
        held = drawn @ there
        if not held[0]:
            continue
        means = (drawn @ np.where(there, column, 0))[held > 0] / held[held > 0]
        low, high = np.percentile(means[1:], (2.5, 97.5)) if len(means) > 1 else means[[0, 0]]
        found[key] = {"mean": _rounded(means[0]), "low": _rounded(low), "high": _rounded(high)}
    return found


def _comparisons(
    values: Mapping[str, Mapping[str, np.ndarray]], against: str, drawn: np.ndarray, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """System -> metric -> how it differs from the one it is held against."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    if against not in values:
        return found
    for system, columns in values.items():
        if system == against:
            continue
        differences = {key: columns[key] - values[against][key] for key in TESTED}
        found[system] = {
            key: interval | {"p": _rounded(significance.sign_flip(differences[key], len(drawn) - 1, seed))}
            for key, interval in _intervals(differences, drawn).items()
        }
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def write_csv(
    scores: Mapping[float, Mapping[str, Mapping[str, Mapping[str, float]]]],
    genres: Mapping[str, str],
    path: str | Path,
) -> None:
    """Write a row per cutoff, system and track: those, genre, and every metric (empty if missing).

    Args:
        scores: cutoff in Hz -> system -> track -> metric -> value.
        genres: track -> genre.
        path: the CSV.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["system", "track", "genre", "cutoff", *SCORES])
        for cutoff, by_system in scores.items():
            for system, of_track in by_system.items():
                for track, values in sorted(of_track.items()):
                    cells = (f"{values[key]:.5g}" if key in values else "" for key in SCORES)
                    rows.writerow([system, track, genres[track] or "none", f"{cutoff:g}", *cells])
