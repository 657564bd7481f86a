"""Means of per-track scores, their bootstrap intervals, and paired comparisons of systems."""

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
    """Compute the mean of every metric with its 95 % percentile bootstrap interval over the tracks.

    Args:
        scores: system -> track -> metric -> value; every system on the same tracks. If a track lacks a metric
            (or has NaN), the mean is over the others; a metric that no track has is left out.
        genres: track -> genre; an empty genre is shown as "none".
        resamples: draws of the tracks with replacement, and random sign patterns of the paired test; all
            systems and metrics share them.
        seed: of the draws.
        against: the system that the others are compared with, track by track; no comparison without it.

    Returns:
        ``{"tracks": n, "systems": {system: {metric: interval}}, "genres": {genre: {system: {metric:
        interval}}}, "paired": {"against": against, "systems": {system: {metric: comparison}}}}``. An
        interval is ``{"mean", "low", "high"}``; low and high are None for a single track. A comparison, of
        the metrics in TESTED, is the interval of the differences (system - against) with their ``"p"``
        (`overtone.evaluation.metrics.significance`). Five significant digits.
    """
    tracks = sorted(next(iter(scores.values())))
    groups: dict[str, list[int]] = {}
    for index, track in enumerate(tracks):
        groups.setdefault(genres[track] or "none", []).append(index)
    draws = _draw(list(range(len(tracks))), len(tracks), resamples, seed)
    of_genre = {name: _draw(groups[name], len(tracks), resamples, seed) for name in sorted(groups)}
    values = {
        system: {
            key: np.array([of_track[track].get(key, math.nan) for track in tracks], dtype=float)
            for key in SCORES
        }
        for system, of_track in scores.items()
    }
    return {
        "tracks": len(tracks),
        "systems": {system: _intervals(columns, draws) for system, columns in values.items()},
        "genres": {
            name: {system: _intervals(columns, of_draws) for system, columns in values.items()}
            for name, of_draws in of_genre.items()
        },
        "paired": {"against": against, "systems": _comparisons(values, against, draws, seed)},
    }


def _draw(members: list[int], tracks: int, resamples: int, seed: int) -> np.ndarray:
    """Count each track in each draw, (1 + resamples, tracks); the first draw is the members themselves."""
    draws = np.random.default_rng(seed).choice(members, size=(resamples, len(members)))
    counts = np.zeros((1 + resamples, tracks))
    counts[0, members] = 1
    np.add.at(counts[1:], (np.arange(resamples)[:, None], draws), 1)
    return counts


def _intervals(columns: Mapping[str, np.ndarray], draws: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Compute the interval of each metric that some track has; a draw of tracks that all lack it is left out.

    One track has a mean and no interval.
    """
    found: dict[str, dict[str, float | None]] = {}
    for key, column in columns.items():
        present = ~np.isnan(column)
        counts = draws @ present
        if not counts[0]:
            continue
        means = (draws @ np.where(present, column, 0))[counts > 0] / counts[counts > 0]
        found[key] = {"mean": _rounded(means[0]), "low": None, "high": None}
        if counts[0] > 1:
            low, high = np.percentile(means[1:], (2.5, 97.5))
            found[key] |= {"low": _rounded(low), "high": _rounded(high)}
    return found


def _comparisons(
    values: Mapping[str, Mapping[str, np.ndarray]], against: str, draws: np.ndarray, seed: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Compare every system with the reference: system -> metric -> interval of the differences, and p."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    if against not in values:
        return found
    for system, columns in values.items():
        if system == against:
            continue
        differences = {key: columns[key] - values[against][key] for key in TESTED}
        found[system] = {
            key: interval | {"p": _rounded(significance.sign_flip(differences[key], len(draws) - 1, seed))}
            for key, interval in _intervals(differences, draws).items()
        }
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def write_csv(
    scores: Mapping[float, Mapping[str, Mapping[str, Mapping[str, float]]]],
    genres: Mapping[str, str],
    path: str | Path,
) -> None:
    """Write one row per cutoff, system and track, with its genre and every metric (empty if missing).

    Args:
        scores: cutoff in Hz -> system -> track -> metric -> value.
        genres: track -> genre.
        path: of the CSV.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["system", "track", "genre", "cutoff", *SCORES])
        for cutoff, by_system in scores.items():
            for system, of_track in by_system.items():
                for track, values in sorted(of_track.items()):
                    cells = (f"{values[key]:.5g}" if key in values else "" for key in SCORES)
                    rows.writerow([system, track, genres[track] or "none", f"{cutoff:g}", *cells])
