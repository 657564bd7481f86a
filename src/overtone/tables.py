"""Per-track scores become one nested dict with intervals, its JSON, and a table to read.

`python -m overtone.tables metrics/test.json` prints the table. Nothing here imports torch, so that
printing is instant; the metrics themselves are in `overtone.scores`, under the keys of `overtone.columns`.
"""

import csv
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from overtone import paired
from overtone.columns import ABSENT, IN_GENRES, SCORES, TESTED, VIEWS, Score
from overtone.errors import OvertoneError


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
        differences (system - against) with their ``"p"`` (`overtone.paired`). Five significant digits.
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
            key: interval | {"p": _rounded(paired.sign_flip(differences[key], len(drawn) - 1, seed))}
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
    temporary = Path(f"{path}.part")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["system", "track", "genre", "cutoff", *SCORES])
        for cutoff, by_system in scores.items():
            for system, of_track in by_system.items():
                for track, values in sorted(of_track.items()):
                    cells = (f"{values[key]:.5g}" if key in values else "" for key in SCORES)
                    rows.writerow([system, track, genres[track] or "none", f"{cutoff:g}", *cells])
    os.replace(temporary, path)


def write(results: Mapping[str, Any], path: str | Path) -> None:
    """Write results as JSON, to a temporary name first; a value that is not finite is refused."""
    content = json.dumps(results, indent=2, allow_nan=False) + "\n"
    temporary = Path(f"{path}.part")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def text(results: Mapping[str, Any]) -> str:
    """The results as tables to read: means, intervals, genres, cutoffs, paired tests, metrics."""
    systems = results["systems"]
    parts = [
        f"Mean over {results['tracks']} test tracks; below it, its 95 % interval (bootstrap over tracks)"
    ]
    for title, keys in VIEWS.items():
        shown = [key for key in keys if any(key in values for values in systems.values())]
        rows = [[title, *(heading(key) for key in shown)]]
        for name, values in systems.items():
            rows.append([name, *(mean(values, key) for key in shown)])
            rows.append(["", *(span(values[key], key) if key in values else "" for key in shown)])
        parts.append("\n".join([_aligned(rows), *_failed_text(results)]))
    parts.append(_grouped("By genre", results["genres"]))
    if "cutoffs" in results:
        cutoffs = {f"{hertz} Hz": found["systems"] for hertz, found in results["cutoffs"].items()}
        parts.append(_grouped("By cutoff", cutoffs))
    if results.get("paired", {}).get("systems"):
        parts += _paired_text(results["paired"])
    legend = [f"{full_name(score):13}  {score.says}" for score in SCORES.values()]
    legend += [f"Not here: {line}" for line in [absent(systems)] if line]
    parts += ["What each metric rewards and misses (↓ less is better, ↑ more is better)", "\n".join(legend)]
    return "\n\n".join(parts) + "\n"


def absent(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """Which metrics no system has, and why; empty if there are none."""
    gone = [key for key in ABSENT if not any(key in values for values in systems.values())]
    return "; ".join(f"{SCORES[key].heading} ({ABSENT[key]})" for key in gone)


def _failed_text(results: Mapping[str, Any]) -> list[str]:
    """A row for each system that has no scores, with the reason."""
    names = [*results["systems"], *results.get("failed", {})]
    width = max(map(len, names))
    return [f"{name:{width}}  {reason}" for name, reason in results.get("failed", {}).items()]


def _grouped(title: str, groups: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """A row for each system in each group: means with their intervals, of IN_GENRES."""
    rows = [[title, "", *(heading(key) for key in IN_GENRES)]]
    for group, systems in groups.items():
        for place, (name, values) in enumerate(systems.items()):
            cells = (
                f"{mean(values, key)} {span(values[key], key):>11}" if key in values else "-"
                for key in IN_GENRES
            )
            rows.append(["" if place else group, name, *cells])
    return _aligned(rows, words=2)


def of_files(values: Mapping[str, Mapping[str, float]]) -> str:
    """A table of single files, one column a file and one row a metric, by file and key; "-" if missing."""
    rows = [["", *values]]
    for key, score in SCORES.items():
        if any(key in of_file for of_file in values.values()):
            cells = (f"{of[key]:.{score.decimals}f}" if key in of else "-" for of in values.values())
            rows.append([heading(key), *cells])
    return _aligned(rows) + "\n"


def _paired_text(compared: Mapping[str, Any]) -> list[str]:
    shown = [key for key in TESTED if any(key in values for values in compared["systems"].values())]
    rows = [["", *(heading(key) for key in shown)]]
    for name, values in compared["systems"].items():
        rows.append(
            [
                name,
                *(
                    f"{mean(values, key)} ({chance(values[key]['p'])})" if key in values else "-"
                    for key in shown
                ),
            ]
        )
    title = (
        f"Minus {compared['against']}, mean of the differences track by track (p: sign-flip test, two-sided, "
        "not\ncorrected for the number of comparisons; n tracks cannot go below 2 / 2^n)"
    )
    return [title, _aligned(rows)]


def chance(p: float) -> str:
    """A p-value in short form."""
    return "p<.001" if p < 0.001 else f"p={p:.3f}".replace("0.", ".")


def mean(values: Mapping[str, Any], key: str) -> str:
    """A metric's mean with the digits that it is shown with; "-" if it is missing."""
    return f"{values[key]['mean']:.{SCORES[key].decimals}f}" if key in values else "-"


def heading(key: str) -> str:
    """The head of a metric's column, with an arrow to where it is better."""
    score = SCORES[key]
    unit = f" {score.unit}" if score.unit == "dB" else ""
    return f"{score.heading}{unit} {'↑' if score.higher_is_better else '↓'}"


def full_name(score: Score) -> str:
    """A metric's name with its unit."""
    return f"{score.heading}, {score.unit}" if score.unit else score.heading


def span(values: Mapping[str, float], key: str) -> str:
    """An interval in short form: no zero before the point, one number where both ends look alike."""
    low, high = (f"{values[end]:.{SCORES[key].decimals}f}" for end in ("low", "high"))
    if low == high:
        return low
    return "\N{EN DASH}".join(re.sub(r"^(-?)0\.", r"\1.", end) for end in (low, high))


def _aligned(rows: list[list[str]], words: int = 1) -> str:
    """Cells below each other: the first columns are words, the others figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: list[str]) -> int:
    """Print the table of one results file; the exit status is 2 where it cannot be read."""
    try:
        if len(arguments) != 1:
            raise OvertoneError("usage: python -m overtone.tables metrics/test.json")
        print(text(read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read(path: str | Path) -> dict[str, Any]:
    """Read a results file as `write` left it; raises OvertoneError where it is none."""
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; `dvc repro` writes it") from None
    except json.JSONDecodeError as error:
        raise OvertoneError(f"{path} is not JSON: {error}") from None
    if not isinstance(results, dict) or not {"tracks", "systems", "genres", "paired"} <= results.keys():
        raise OvertoneError(
            f"{path} is not a results file: it lacks tracks, systems, genres or paired; `dvc repro` "
            "writes it anew"
        )
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
