"""Describe the machine, prepare the bundled music, and write results as Markdown, for all benchmarks."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
TO_SEGMENTS = ("download_fma", "select_subset", "split", "degrade", "segment")


def machine() -> str:
    """Where and when figures were measured, and how busy it was there, as a line of Markdown."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d')}, {(names or [platform.processor()])[0]}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}. Load average at the end: {load} "
        "(1, 5, 15 minutes), this benchmark's own included; the machine was shared with other work."
    )


def save(name: str, text: str) -> None:
    """Write results as bench/results/NAME.md and show them."""
    file = ROOT / "bench/results" / f"{name}.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(text)


def pipeline(folder: Path, stages: tuple[str, ...] = TO_SEGMENTS, **changes: dict[str, Any]) -> None:
    """Run stages on the bundled music in another folder, with some of params.yaml changed."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    changes = {"download": {"subset": "mini", "folder": None}, "select": {"tracks": None}} | changes
    for group, change in changes.items():
        values[group] |= change
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    (folder / "data").mkdir()
    (folder / "data/bundle").symlink_to(ROOT / "data/bundle")
    for stage in stages:
        command = [sys.executable, "-m", f"stages.{stage}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def peak_memory() -> float:
    """Peak memory of this process in MB (Linux).

    VmHWM and not getrusage: that one hands a parent's peak down to its children.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
