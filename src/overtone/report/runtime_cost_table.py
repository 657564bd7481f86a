"""Print the runtime cost of every system: seconds per second of audio, and peak memory.

``python -m overtone.report.runtime_cost_table data/systems.json`` prints it. Nothing here imports torch.
"""

import sys
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from overtone.core.errors import OvertoneError
from overtone.report.tables import read_json

HEADING = (
    "Runtime cost: seconds per second of audio and peak main memory in GB, on\n{machine}\n"
    "Networks and baselines: one thread, memory of the process with PyTorch. Outside programs: with their\n"
    "start, memory as sampled."
)


def text(costs: Mapping[str, Any]) -> str:
    """Format runtime costs as a table.

    Args:
        costs: ``{"machine": line, "systems": {name: {"seconds_per_second", "peak_memory_gb", "note"}}}``, or
            ``{"failed": reason}`` in place of the three.
    """
    rows = [("", "s/s", "GB", "")]
    for name, cost in costs["systems"].items():
        if "failed" in cost:
            rows.append((name, "-", "-", cost["failed"]))
            continue
        memory = "-" if cost["peak_memory_gb"] is None else f"{cost['peak_memory_gb']:.2f}"
        rows.append((name, f"{cost['seconds_per_second']:.3f}", memory, cost["note"]))
    alignment = ("left", "right", "right", "left")
    table = tabulate(rows, tablefmt="plain", colalign=alignment, disable_numparse=True)
    lines = "\n".join(line.rstrip() for line in table.splitlines())
    return f"{HEADING.format(machine=costs['machine'])}\n\n{lines}\n"


def main(arguments: list[str]) -> int:
    """Print one file of runtime costs; the exit status is 2 if it cannot be read."""
    try:
        if len(arguments) != 1:
            raise OvertoneError("usage: python -m overtone.report.runtime_cost_table data/systems.json")
        print(text(read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read(path: str) -> dict[str, Any]:
    """Read a file of runtime costs.

    Raises:
        OvertoneError: it is missing, no JSON, or of another format.
    """
    costs = read_json(path)
    if not isinstance(costs, dict) or not {"machine", "systems"} <= costs.keys():
        raise OvertoneError(f"{path} is not a file of runtime costs: it lacks machine or systems")
    return costs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
