"""Kill the pipeline at random moments, let it continue, and compare its results with a run never killed.

    python bench/kills.py --kills 100

Each run starts from nothing, on six tracks of noise with a tiny network, in a folder of its own. `dvc repro`
and its processes are killed (SIGKILL) after a random time, and started again, until a run ends by itself.
Its files must have the same bytes as those of the first run, which is never killed. 100 kills take about an
hour on two cores.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.helpers.workspace import Workspace, write_music  # noqa: E402

# Files that no measurement of time goes into.
COMPARED = (
    "data/pairs/*",
    "data/segments.csv",
    "data/model/*",
    "metrics/*.json",
    "plots/*.csv",
    "data/examples/*",
)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-1 of each file that is compared, by its path."""
    files = [path for pattern in COMPARED for path in folder.glob(pattern) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() for path in files}


def run_with_kills(
    workspace: Workspace, command: tuple[str, ...], longest: float, kills: int, draw: random.Random
) -> int:
    """Run a command until it ends by itself, killing it up to so many times, each at a random moment.

    Args:
        workspace: where it runs.
        command: its words.
        longest: seconds that a run takes; moments are drawn up to it.
        kills: how many at most.
        draw: draws the moments.

    Returns:
        The number of kills; a run may end before its moment.
    """
    done = 0
    while True:
        process = workspace.start(*command)
        try:
            code = process.wait(draw.uniform(0, longest) if done < kills else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            continue
        if code:
            raise SystemExit(f"error: {' '.join(command)} ended with exit code {code} after {done} kills")
        return done


def main() -> None:
    """Kill runs until there were enough kills, and compare each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    draw, done, runs = random.Random(asked.seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="overtone-kills-") as folder:
        (Path(folder) / "fresh").mkdir()
        fresh = Workspace(Path(folder) / "fresh", write_music(Path(folder) / "music"))
        whole = fresh.copy(Path(folder) / "never killed")
        began = time.monotonic()
        whole.run("dvc", "repro")
        longest, wanted = time.monotonic() - began, digests(whole.folder)
        print(f"never killed: {longest:.0f} s, {len(wanted)} files", flush=True)
        while done < asked.kills:
            runs += 1
            killed = fresh.copy(Path(folder) / f"run {runs}")
            done += run_with_kills(killed, ("dvc", "repro"), longest, min(3, asked.kills - done), draw)
            found = digests(killed.folder)
            other = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
            print(f"run {runs}: {done} kills so far, {len(other)} files differ {other[:5]}", flush=True)
            if other:
                raise SystemExit(1)
    print(f"{done} kills in {runs} runs: all have the bytes of the run never killed")


if __name__ == "__main__":
    main()
