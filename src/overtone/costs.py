"""What each system's work took on this machine: time, memory, and what its output needed.

These figures differ from run to run and from machine to machine, so they are kept apart from the scores.
``python -m overtone.costs data/systems.json`` prints them. Nothing here imports torch.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overtone.errors import OvertoneError

HEADING = (
    "Work: seconds per second of audio and peak main memory in GB, on\n{machine}\n"
    "Ours: on one thread, memory of the whole process, PyTorch in it. Outside programs: with their start,\n"
    "memory as sampled."
)


@dataclass
class Cost:
    """What a system took so far.

    Attributes:
        seconds: of work.
        audio: seconds of audio worked on.
        memory: peak main memory in bytes; 0 where it cannot be measured.
    """

    seconds: float = 0.0
    audio: float = 0.0
    memory: int = 0

    @contextmanager
    def measured(self, audio: float) -> Iterator[None]:
        """Add what happens inside, done on so many seconds of audio."""
        _reset_peak()
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.audio += audio
        self.memory = max(self.memory, _peak())

    def add(self, other: "Cost") -> None:
        """Count other work of the same kind in; memory is the most that either took."""
        self.seconds += other.seconds
        self.audio += other.audio
        self.memory = max(self.memory, other.memory)

    def json(self) -> dict[str, float | None]:
        """Its two figures, to four significant digits."""
        return {
            "seconds_per_second": float(f"{self.seconds / max(self.audio, 1e-9):.4g}"),
            "peak_memory_gb": float(f"{self.memory / 1e9:.4g}") if self.memory else None,
        }


def _reset_peak() -> None:
    """Let Linux count the peak from here on; elsewhere there is none to be had."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """The most main memory of this process since the reset, in bytes; 0 where Linux does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def machine(device: str, work: str) -> str:
    """This machine, in a line: processor, cores, load, the networks' device, and how work was shared out."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{(names or [platform.processor()])[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"networks on {device}, {work}"
    )


def write(costs: Mapping[str, Any], path: str | Path) -> None:
    """Write costs as JSON, to a temporary name first."""
    temporary = Path(f"{path}.part")
    temporary.write_text(json.dumps(costs, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


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
            raise OvertoneError("usage: python -m overtone.costs data/systems.json")
        print(text(_read(arguments[0])), end="")
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        costs = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; `dvc repro` writes it, `dvc checkout` brings it") from None
    except json.JSONDecodeError as error:
        raise OvertoneError(f"{path} is not JSON: {error}") from None
    if not isinstance(costs, dict) or not {"machine", "systems"} <= costs.keys():
        raise OvertoneError(f"{path} is not a file of costs: it lacks machine or systems")
    return costs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
