"""Print the results of a run as text tables: means, intervals, genres, cutoffs, paired tests.

``python -m overtone.report.tables metrics/test.json`` prints them. Nothing here imports torch, so that
printing is instant. The metrics are described in `overtone.evaluation.metrics.registry`.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics.registry import ABSENT, IN_GENRES, SCORES, TESTED, VIEWS, Score

Means = Mapping[str, Mapping[str, Any]]  # system -> metric -> interval


def text(results: Mapping[str, Any]) -> str:
    """Format results as tables: means with intervals, genres, cutoffs, paired tests, and the metrics."""
    systems = results["systems"]
    interval = "; below it, its 95 % interval (bootstrap over tracks)" if results["tracks"] > 1 else ""
    blocks = [f"Mean over {count(results['tracks'], 'test track')}{interval}"]
    for title, keys in VIEWS.items():
        blocks.append("\n".join([_view(title, keys, systems), *_failed_lines(results)]))
    blocks += remark_lines(results)
    blocks.append(_grouped("By genre", results["genres"]))
    if "cutoffs" in results:
        cutoffs = {f"{hertz} Hz": found["systems"] for hertz, found in results["cutoffs"].items()}
        blocks.append(_grouped("By cutoff", cutoffs))
    if results.get("paired", {}).get("systems"):
        blocks += _paired(results["paired"])
    legend = [f"{full_name(score):13}  {score.says}" for score in SCORES.values()]
    legend += [f"Left out: {line}" for line in [absent(systems)] if line]
    blocks += [
        "What each metric rewards and misses (↓ less is better, ↑ more, →0 nearer 0)",
        "\n".join(legend),
    ]
    return "\n\n".join(blocks) + "\n"


def count(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural unless it is one."""
    return f"{number} {noun}{'s' * (number != 1)}"


def absent(systems: Means) -> str:
    """List the metrics that no system has, with the reasons; empty if there are none."""
    missing = [key for key in ABSENT if not any(key in values for values in systems.values())]
    return "; ".join(f"{SCORES[key].heading} ({ABSENT[key]})" for key in missing)


def remark_lines(results: Mapping[str, Any]) -> list[str]:
    """List the rows whose output has another sign or level than its input, and whether it was corrected."""
    return [f"Note on {name}: {remark}" for name, remark in results.get("remarks", {}).items()]


def _view(title: str, keys: Sequence[str], systems: Means) -> str:
    """Format means, and below them their intervals, by system and metric."""
    shown = [key for key in keys if any(key in values for values in systems.values())]
    rows = [[title, *(heading(key) for key in shown)]]
    for name, values in systems.items():
        rows.append([name, *(format_mean(values, key) for key in shown)])
        intervals = [format_interval(values[key], key) if key in values else "" for key in shown]
        if any(intervals):
            rows.append(["", *intervals])
    return _aligned(rows)


def _failed_lines(results: Mapping[str, Any]) -> list[str]:
    """Format a row for each system without scores, with the reason."""
    names = [*results["systems"], *results.get("failed", {})]
    width = max(map(len, names))
    return [f"{name:{width}}  {reason}" for name, reason in results.get("failed", {}).items()]


def _grouped(title: str, groups: Mapping[str, Means]) -> str:
    """Format means with intervals of IN_GENRES, by group and system."""
    rows = [[title, "", *(heading(key) for key in IN_GENRES)]]
    for group, systems in groups.items():
        for number, (name, values) in enumerate(systems.items()):
            cells = (_mean_with_interval(values, key) for key in IN_GENRES)
            rows.append(["" if number else group, name, *cells])
    return _aligned(rows, words=2)


def _mean_with_interval(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "-"
    interval = format_interval(values[key], key)
    return f"{format_mean(values, key)} {interval:>11}" if interval else format_mean(values, key)


def file_table(values: Mapping[str, Mapping[str, float]]) -> str:
    """Format the scores of single files, one column a file and one row a metric; "-" if missing.

    Args:
        values: file -> metric -> value.
    """
    rows = [["", *values]]
    for key, score in SCORES.items():
        if any(key in of_file for of_file in values.values()):
            cells = (f"{of[key]:.{score.decimals}f}" if key in of else "-" for of in values.values())
            rows.append([heading(key), *cells])
    return _aligned(rows) + "\n"


def _paired(compared: Mapping[str, Any]) -> list[str]:
    """Format the differences track by track with their p, by system and metric."""
    shown = [key for key in TESTED if any(key in values for values in compared["systems"].values())]
    rows = [["", *(heading(key) for key in shown)]]
    for name, values in compared["systems"].items():
        cells = (
            f"{format_mean(values, key)} ({format_p(values[key]['p'])})" if key in values else "-"
            for key in shown
        )
        rows.append([name, *cells])
    title = (
        f"Minus {compared['against']}, mean of the differences track by track (p: sign-flip test, two-sided, "
        "not\ncorrected for the number of comparisons; with n tracks p is at least 2 / 2^n)"
    )
    return [title, _aligned(rows)]


def format_p(p: float) -> str:
    """Format a p-value in short form."""
    return "p<.001" if p < 0.001 else f"p={p:.3f}".replace("0.", ".")


def format_mean(values: Mapping[str, Any], key: str) -> str:
    """Format the mean of a metric with its number of decimals; "-" if it is missing."""
    return f"{values[key]['mean']:.{SCORES[key].decimals}f}" if key in values else "-"


def format_interval(interval: Mapping[str, float | None], key: str) -> str:
    """Format an interval in short form, without a zero before the point; empty if there is none.

    Ends that look alike are one number.
    """
    if interval["low"] is None:
        return ""
    low, high = (f"{interval[end]:.{SCORES[key].decimals}f}" for end in ("low", "high"))
    if low == high:
        return low
    return "\N{EN DASH}".join(re.sub(r"^(-?)0\.", r"\1.", end) for end in (low, high))


def heading(key: str) -> str:
    """Format the heading of a metric's column, with an arrow in the direction of improvement."""
    score = SCORES[key]
    unit = f" {score.unit}" if score.unit == "dB" else ""
    return f"{score.heading}{unit} {score.arrow}"


def full_name(score: Score) -> str:
    """Format the name of a metric with its unit."""
    return f"{score.heading}, {score.unit}" if score.unit else score.heading


def _aligned(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Align cells in columns: the first `words` columns to the left, the others, of figures, to the right."""
    alignment = ["left"] * words + ["right"] * (len(rows[0]) - words)
    table = tabulate(rows, tablefmt="plain", colalign=alignment, disable_numparse=True)
    return "\n".join(line.rstrip() for line in table.splitlines())


def main(arguments: list[str]) -> int:
    """Print the tables of one results file; the exit status is 2 if it cannot be read."""
    try:
        if len(arguments) != 1:
            raise OvertoneError("usage: python -m overtone.report.tables metrics/test.json")
        print(text(read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read(path: str | Path) -> dict[str, Any]:
    """Read metrics/test.json.

    Raises:
        OvertoneError: it is missing, no JSON, or of another format.
    """
    results = read_json(path)
    if not isinstance(results, dict) or not {"tracks", "systems", "genres", "paired"} <= results.keys():
        raise OvertoneError(
            f"{path} is not a results file: it lacks tracks, systems, genres or paired; `dvc repro` "
            "writes it again"
        )
    return results


def read_json(path: str | Path) -> Any:
    """Read a JSON file of the pipeline; raise OvertoneError if it is missing or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; `dvc repro` writes it") from None
    except json.JSONDecodeError as error:
        raise OvertoneError(f"{path} is not JSON: {error}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
