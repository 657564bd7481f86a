"""Per-track scores become one nested dict with intervals, its JSON, and a table to read.

`python -m overtone.tables metrics/test.json` prints the table. Nothing here imports torch, so that
printing is instant; the metrics themselves are in `overtone.scores`, under the same keys.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overtone.errors import OvertoneError


@dataclass(frozen=True)
class Score:
    """How a metric is shown, and what a reader must know about it.

    Attributes:
        heading: the head of its column.
        unit: "dB", "bel" (log10 of a ratio of powers), or empty for a plain number.
        higher_is_better: which way is better.
        decimals: digits shown after the point.
        says: one line, what it rewards and what it misses.
    """

    heading: str
    unit: str
    higher_is_better: bool
    decimals: int
    says: str


SCORES: dict[str, Score] = {
    "l1": Score(
        "L1", "", False, 3, "sample error; rewards silence above the cutoff over a wrong guess at it"
    ),
    "mse": Score("MSE", "", False, 4, "as L1, and the loud low notes drown all else; misses the treble"),
    "stft": Score(
        "STFT", "", False, 3, "the paper's; linear magnitudes, so mostly the bass; misses sign and phase"
    ),
    "lsd": Score(
        "LSD", "bel", False, 2, "spectrum on a log scale, soft bins as loud ones; misses phase and sign"
    ),
    "lsd_low": Score(
        "LSD low", "bel", False, 2, "LSD below the cutoff: rewards leaving alone what was still there"
    ),
    "lsd_high": Score(
        "LSD high", "bel", False, 2, "LSD above the cutoff: the treble's level, plausible or true alike"
    ),
    "si_sdr": Score(
        "SI-SDR", "dB", True, 1, "waveform up to its level; misses level, sign, and nearly all treble"
    ),
    "snr": Score("SNR", "dB", True, 1, "waveform; rewards silence above the cutoff over treble out of phase"),
}
IN_GENRES = ("lsd_high", "snr")  # what the rows per genre show: the treble, and what it cost


def summarize(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    genres: Mapping[str, str],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Per-track scores become means, with 95 % percentile bootstrap intervals over the tracks.

    Args:
        scores: system -> track -> metric -> value; every system on the same tracks.
        genres: track -> genre; an empty genre is shown as "none".
        resamples: how often the tracks are drawn again, with replacement; the same draws serve all
            systems and metrics.
        seed: of those draws.

    Returns:
        ``{"tracks": n, "systems": {system: {metric: {"mean", "low", "high"}}},
        "genres": {genre: {system: {metric: mean}}}}``, numbers to five significant digits.
    """
    tracks = sorted(next(iter(scores.values())))
    draws = np.random.default_rng(seed).integers(len(tracks), size=(resamples, len(tracks)))
    systems: dict[str, Any] = {}
    by_genre: dict[str, Any] = {name: {} for name in sorted({genres[track] or "none" for track in tracks})}
    members = {name: [(genres[track] or "none") == name for track in tracks] for name in by_genre}
    for system, of_track in scores.items():
        values = {key: np.array([of_track[track][key] for track in tracks]) for key in SCORES}
        systems[system] = {key: _interval(column, draws) for key, column in values.items()}
        for genre, chosen in members.items():
            by_genre[genre][system] = {key: _rounded(column[chosen].mean()) for key, column in values.items()}
    return {"tracks": len(tracks), "systems": systems, "genres": by_genre}


def _interval(values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return {"mean": _rounded(values.mean()), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def write(results: Mapping[str, Any], path: str | Path) -> None:
    """Write results as JSON, to a temporary name first; a value that is not finite is refused."""
    content = json.dumps(results, indent=2, allow_nan=False) + "\n"
    temporary = Path(f"{path}.part")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def text(results: Mapping[str, Any]) -> str:
    """The results as a table to read: means with their intervals below, genres, what each metric says."""
    systems = results["systems"]
    rows = [["", *(_heading(key) for key in SCORES)]]
    for name, values in systems.items():
        rows.append([name, *(f"{values[key]['mean']:.{score.decimals}f}" for key, score in SCORES.items())])
        rows.append(["", *(_range(values[key], score.decimals) for key, score in SCORES.items())])
    genres = [["", *systems]]
    for genre, of_system in results["genres"].items():
        cells = (
            " / ".join(f"{of_system[name][key]:.{SCORES[key].decimals}f}" for key in IN_GENRES)
            for name in systems
        )
        genres.append([genre, *cells])
    parts = [
        f"Mean over {results['tracks']} test tracks; below it, its 95 % interval (bootstrap over tracks)",
        _aligned(rows),
        "By genre: " + " / ".join(_heading(key) for key in IN_GENRES),
        _aligned(genres),
        "What each metric rewards and misses (↓ less is better, ↑ more is better)",
        "\n".join(f"{_name(score):13}  {score.says}" for score in SCORES.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _heading(key: str) -> str:
    score = SCORES[key]
    unit = f" {score.unit}" if score.unit == "dB" else ""
    return f"{score.heading}{unit} {'↑' if score.higher_is_better else '↓'}"


def _name(score: Score) -> str:
    return f"{score.heading}, {score.unit}" if score.unit else score.heading


def _range(values: Mapping[str, float], decimals: int) -> str:
    """An interval in short form: no zero before the point, one number where both ends look alike."""
    low, high = (f"{values[end]:.{decimals}f}" for end in ("low", "high"))
    if low == high:
        return low
    return "\N{EN DASH}".join(re.sub(r"^(-?)0\.", r"\1.", end) for end in (low, high))


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: list[str]) -> int:
    """Print the table of one results file; the exit status is 2 where it cannot be read."""
    try:
        if len(arguments) != 1:
            raise OvertoneError("usage: python -m overtone.tables metrics/test.json")
        print(text(_read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; `dvc repro` writes it") from None
    except json.JSONDecodeError as error:
        raise OvertoneError(f"{path} is not JSON: {error}") from None
    if not isinstance(results, dict) or not {"tracks", "systems", "genres"} <= results.keys():
        raise OvertoneError(f"{path} is not a results file: it lacks tracks, systems or genres")
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
