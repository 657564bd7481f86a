"""Time `dvc status` with FMA large's tables and shards in place, for few and for many shards.

python bench/dvc_status.py (a minute on a core of its own, 1 GB of disk, given back)
    -> bench/results/dvc_status.md
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic
import yaml
from machine import ROOT, machine, save

TRACKS = 106_574
SEGMENTS = 8 * TRACKS
PER_SHARD = (600, 6)
ROUNDS = 3


def dvc(folder: Path, *words: str) -> tuple[float, float, str]:
    """Run DVC in a folder; seconds, processor seconds, and what it printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, text=True, capture_output=True
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"dvc {' '.join(words)}: {done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def fill(folder: Path) -> None:
    """Write what the stages leave behind for so many tracks, audio and networks empty."""
    for stage in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values():
        for name in (*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())):
            path = folder / (name if isinstance(name, str) else next(iter(name)))
            path = path if path.suffix else path / "empty"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    synthetic.write_tables(folder / "data/fma", TRACKS)
    names = [synthetic.name_of(track) for track in range(TRACKS)]
    sums = "".join(f"{name},zip://fma_large/{name}::fma_large.zip,{'0' * 40}\n" for name in names)
    (folder / "data/fma/files.csv").write_text(sums)
    for name, rows in (("subset.csv", TRACKS), ("split.csv", TRACKS), ("segments.csv", SEGMENTS)):
        line = "training,{},{},65536,65536,0.87654321,0.76543210\n"
        (folder / "data" / name).write_text("".join(line.format(row, row) for row in range(rows)))


def shards(folder: Path, each: int) -> int:
    """Write data/pairs with so many tracks a shard; returns its number of files."""
    pairs = folder / "data/pairs"
    shutil.rmtree(pairs)
    pairs.mkdir()
    for number in range(-(-TRACKS // each)):
        (pairs / f"shard-{number:04d}.i16").touch()
    for name in ("index.csv", "shards.csv", "left_out.csv"):
        (pairs / name).write_text(f"{name}\n")
    return len(list(pairs.iterdir()))


def main() -> None:
    """Measure and write the results."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="overtone-status-") as name:
        folder = Path(name)
        for part in ("dvc.yaml", "params.yaml", "programs.yaml", ".dvcignore"):
            shutil.copyfile(ROOT / part, folder / part)
        for part in ("src", "stages", "data/bundle", ".dvc/plots"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / ".dvc/config", folder / ".dvc/config")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        fill(folder)
        for each in PER_SHARD:
            files = shards(folder, each)
            dvc(folder, "commit", "--force", "--quiet")
            runs = [dvc(folder, "status") for _ in range(ROUNDS)]
            if any("up to date" not in said for *_, said in runs):
                sys.exit(f"not all is up to date: {runs[0][2]}")
            wall, cpu = (", ".join(f"{run[column]:.1f}" for run in runs) for column in (0, 1))
            rows.append(f"| {each} | {files:,} | {wall} | {cpu} |")
            print(rows[-1], flush=True)
    save(
        "dvc_status",
        f"""# `dvc status` at the size of FMA large

{machine()}

`python bench/dvc_status.py`: a repository with the tables of {TRACKS:,} tracks and {SEGMENTS:,} segments, no
clips (`download.unpack: false`), shards empty; {ROUNDS} calls, one after the other. *Processor seconds* are
user and system time, which other work on the machine disturbs least. The target is under 5 seconds.

| tracks a shard | files in data/pairs | seconds | processor seconds |
| ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )


if __name__ == "__main__":
    main()
