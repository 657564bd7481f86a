"""Kill the pipeline at random moments, let it continue, and compare its results with a run never killed.

    python bench/kills.py --kills 100

The result goes to bench/results/kills.md. Each run starts from nothing, on six tracks of noise with a tiny
network, in a folder of its own. `dvc repro` and its processes are killed (SIGKILL) after a random time, and
started again, until a run ends by itself. Its files must have the same bytes as those of the first run, which
is never killed. On two cores, 100 kills take about an hour, and with other work beside them twice that.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench import machine  # noqa: E402
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
# Files that DVC itself does not write atomically, and refuses to go on with if they are cut short.
CUT_SHORT = (".dvc/tmp/rwlock", "dvc.lock")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-1 of each file that is compared, by its path."""
    files = [path for pattern in COMPARED for path in folder.glob(pattern) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() for path in files}


class Killed(NamedTuple):
    """How many times a command was killed, and how many times DVC refused its own files then."""

    kills: int
    mended: int


def run_with_kills(
    workspace: Workspace, command: tuple[str, ...], longest: float, kills: int, draw: random.Random
) -> Killed:
    """Run a command until it ends by itself, killing it up to so many times, each at a random moment.

    Args:
        workspace: where it runs.
        command: its words.
        longest: seconds that a run takes; moments are drawn up to it.
        kills: how many at most; a run may end before its moment.
        draw: draws the moments.
    """
    done = mended = 0
    while True:
        with tempfile.TemporaryFile("w+") as errors:
            process = workspace.start(*command, stderr=errors)
            try:
                code = process.wait(draw.uniform(0, longest) if done < kills else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
                continue
            if not code:
                return Killed(done, mended)
            errors.seek(0)
            printed = errors.read()
        if not mend(workspace.folder, printed):
            words = f"{' '.join(command)} ended with exit code {code} after {done} kills"
            raise SystemExit(f"error: {words}\n{printed}")
        mended += 1


def mend(folder: Path, printed: str) -> bool:
    """Delete the file of DVC that a kill has cut short, as docs/faq.md says; return whether there is one."""
    cut = [name for name in CUT_SHORT if f"{name}'" in printed]
    for name in cut:
        (folder / name).unlink()
    return bool(cut)


def result(asked: argparse.Namespace, minutes: float, runs: list[Killed], longest: float, files: int) -> str:
    """Format the result as Markdown.

    Args:
        asked: the options.
        minutes: that all took.
        runs: all of them.
        longest: seconds that the run never killed took.
        files: how many were compared.
    """
    kills = [run.kills for run in runs]
    heading = "| runs | kills | most kills in a run | files that differ from the run never killed "
    command = f"python bench/kills.py --kills {asked.kills} --minutes {asked.minutes:g} --seed {asked.seed}"
    return f"""# Runs of the pipeline, killed at random moments

{machine.machine()}

`{command}`, {minutes:.0f} minutes: `dvc repro` from nothing to the
report, on six tracks of noise with a tiny network ({longest:.0f} s if never killed), was killed (SIGKILL,
all its processes) at random moments and started again. Compared are the bytes of {files} files: pairs,
segments, model, metrics, tables of plots, examples.

{heading}| files of DVC's own cut short |
| ---: | ---: | ---: | ---: | ---: |
| {len(runs)} | {sum(kills)} | {max(kills)} | 0 | {sum(run.mended for run in runs)} |

Of DVC's own files, those that a kill cuts short (`.dvc/tmp/rwlock`, `dvc.lock`) were deleted, as
[docs/faq.md](../../docs/faq.md) says.
"""


def main() -> None:
    """Kill runs until there were enough kills, compare the files of each, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=600, help="after which no further run begins")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    draw, runs, done = random.Random(asked.seed), list[Killed](), 0
    with tempfile.TemporaryDirectory(prefix="overtone-kills-") as folder:
        (Path(folder) / "fresh").mkdir()
        fresh = Workspace(Path(folder) / "fresh", write_music(Path(folder) / "music"))
        whole = fresh.copy(Path(folder) / "never killed")
        began = time.monotonic()
        whole.run("dvc", "repro")
        longest, wanted = time.monotonic() - began, digests(whole.folder)
        print(f"never killed: {longest:.0f} s, {len(wanted)} files", flush=True)
        while done < asked.kills and time.monotonic() - began < 60 * asked.minutes:
            killed = fresh.copy(Path(folder) / f"run {len(runs) + 1}")
            runs.append(run_with_kills(killed, ("dvc", "repro"), longest, min(3, asked.kills - done), draw))
            done += runs[-1].kills
            found = digests(killed.folder)
            other = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
            print(f"run {len(runs)}: {done} kills so far, {len(other)} files differ {other[:5]}", flush=True)
            if other:
                raise SystemExit(1)
            shutil.rmtree(killed.folder)
        minutes = (time.monotonic() - began) / 60
    machine.save("kills", result(asked, minutes, runs, longest, len(wanted)))


if __name__ == "__main__":
    main()
