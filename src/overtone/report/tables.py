"""Per-track scores become one nested dict with intervals, its JSON, and a table to read.

`python -m overtone.report.tables metrics/test.json` prints the table. Nothing here imports torch, so that
printing is instant; the metrics themselves are in `overtone.evaluation.metrics.distances`, under the keys of
`overtone.evaluation.metrics.registry`.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics.registry import ABSENT, IN_GENRES, SCORES, TESTED, VIEWS, Score


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
            rows.append([name, *(format_mean(values, key) for key in shown)])
            rows.append(["", *(format_interval(values[key], key) if key in values else "" for key in shown)])
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
                f"{format_mean(values, key)} {format_interval(values[key], key):>11}"
                if key in values
                else "-"
                for key in IN_GENRES
            )
            rows.append(["" if place else group, name, *cells])
    return _aligned(rows, words=2)


def file_table(values: Mapping[str, Mapping[str, float]]) -> str:
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
                    f"{format_mean(values, key)} ({format_p(values[key]['p'])})" if key in values else "-"
                    for key in shown
                ),
            ]
        )
    title = (
        f"Minus {compared['against']}, mean of the differences track by track (p: sign-flip test, two-sided, "
        "not\ncorrected for the number of comparisons; n tracks cannot go below 2 / 2^n)"
    )
    return [title, _aligned(rows)]


def format_p(p: float) -> str:
    """A p-value in short form."""
    return "p<.001" if p < 0.001 else f"p={p:.3f}".replace("0.", ".")


def format_mean(values: Mapping[str, Any], key: str) -> str:
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


def format_interval(values: Mapping[str, float], key: str) -> str:
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
            raise OvertoneError("usage: python -m overtone.report.tables metrics/test.json")
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
