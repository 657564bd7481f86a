"""TODO."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overtone.core.errors import OvertoneError

HEADING = (
    "Work: seconds per second of audio and peak main memory in GB, on\n{machine}\n"
    "Ours: on one thread, memory of the whole process, PyTorch in it. Outside programs: with their start,\n"
    "memory as sampled."
)


def text(costs: Mapping[str, Any]) -> str:
    """The costs as a table to read.

    Args:
        costs: ``{"machine": line, "systems": {name: {"seconds_per_second", "peak_memory_gb", "note"}}}``, or
            ``{"failed": why}`` in place of the three.
    """
    rows = [("", "s/s", "GB", "")]
    for name, cost in costs["systems"].items():
        if "failed" in cost:
            rows.append((name, "-", "-", cost["failed"]))
            continue
        memory = cost["peak_memory_gb"]
        shown = "-" if memory is None else f"{memory:.2f}"
        rows.append((name, f"{cost['seconds_per_second']:.3f}", shown, cost["note"]))
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    table = (
        f"{name:{widths[0]}}  {speed:>{widths[1]}}  {memory:>{widths[2]}}  {note}".rstrip()
        for name, speed, memory, note in rows
    )
    return HEADING.format(machine=costs["machine"]) + "\n\n" + "\n".join(table) + "\n"


def main(arguments: list[str]) -> int:
    """Print one costs file; the exit status is 2 where it cannot be read."""
    try:
        if len(arguments) != 1:
            raise OvertoneError("usage: python -m overtone.report.runtime_cost_table data/systems.json")
        print(text(read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read(path: str) -> dict[str, Any]:
    """Read a file of runtime costs; raises OvertoneError where it is none."""
    try:
        costs = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; `dvc repro` writes it, `dvc checkout` brings it") from None
    except json.JSONDecodeError as error:
        raise OvertoneError(f"{path} is not JSON: {error}") from None
    if not isinstance(costs, dict) or not {"machine", "systems"} <= costs.keys():
        raise OvertoneError(f"{path} is not a file of costs: it lacks machine or systems")
    return costs
