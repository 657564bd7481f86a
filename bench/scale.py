"""Measure select, split, degrade and segment on 1,000 to 100,000 generated clips: time and memory.

python bench/scale.py (five minutes on a core of its own, 2 GB of disk, given back; results after every size)
    -> bench/results/scale.csv, scale.png, scale.md
"""

import shutil
import tempfile
from pathlib import Path

import matplotlib
import pandas as pd
import synthetic
from machine import ROOT, machine, save
from measured import exponent, measure, size_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SIZES = (1000, 3000, 10_000, 30_000, 100_000)
STAGES = {
    "select_subset": ("data/subset.csv",),
    "split": ("data/split.csv",),
    "degrade": ("data/pairs",),
    "segment": ("data/segments.csv", "data/left_out.csv"),
}
SECONDS = 0.3
RATE = 8000
# A low rate, so that what a track costs beside its samples is most of its cost: that is what could grow
# faster than the number of tracks, as samples are read and written once.
CHANGES = {
    "select": {"tracks": None},
    "degrade": {"rate": RATE, "low_rate": RATE // 2},
    "segment": {"length": 1024, "hop": 1024, "skip": 0.0, "per_track": 1},
}
FILE = ROOT / "bench/results/scale.csv"


def run(made: list[Path], folder: Path, tracks: int) -> list[dict[str, float | str]]:
    """Send so many tracks through the stages; a row for each stage."""
    synthetic.workspace(folder, **CHANGES)
    fma = folder / "data/fma"
    synthetic.write_tables(fma, tracks)
    synthetic.link(made, fma, tracks)
    rows = []
    for stage, outs in STAGES.items():
        cost = measure(stage, [folder])[0]
        disk = sum(size_of(folder / out) for out in outs) / 1e6
        rows.append({"tracks": tracks, "stage": stage, **cost._asdict(), "disk": disk})
        print(rows[-1], flush=True)
    return rows


def draw(table: pd.DataFrame) -> None:
    """Draw time and memory against the number of tracks, with a line that is linear."""
    figure, (time, memory) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for stage in STAGES:
        own = table[table["stage"] == stage]
        time.loglog(own["tracks"], own["cpu"], "o-", label=stage, markersize=4)
        memory.semilogx(own["tracks"], own["memory"], "o-", label=stage, markersize=4)
    most = table[table["stage"] == "degrade"].iloc[-1]
    ends = [SIZES[0], most["tracks"]]
    time.loglog(ends, [2 * most["cpu"] / most["tracks"] * n for n in ends], "k:", label="linear")
    time.set(xlabel="tracks", ylabel="processor time, s")
    memory.set(xlabel="tracks", ylabel="peak memory, MB", ylim=(0, None))
    time.legend(fontsize=8)
    for axes in (time, memory):
        axes.grid(alpha=0.3)
    figure.savefig(FILE.with_suffix(".png"), dpi=110)
    plt.close(figure)


def lines(table: pd.DataFrame) -> list[str]:
    """The stages' rows of the summary."""
    made = []
    for stage in STAGES:
        own = table[(table["stage"] == stage) & (table["tracks"] >= 10_000)]
        power = exponent(own["tracks"], own["cpu"])
        whole = table[table["stage"] == stage].iloc[[0, -1]]
        (few, many), (low, high) = whole["tracks"], whole["memory"]
        each = 1000 * (high - low) / (many - few)
        made.append(f"| {stage} | {power:.2f} | {low:.0f} | {high:.0f} | {each:.2f} |")
    return made


def write(table: pd.DataFrame) -> None:
    """Write what has been measured so far."""
    FILE.parent.mkdir(exist_ok=True)
    table.round(3).to_csv(FILE, index=False)
    draw(table)
    if table["tracks"].max() < SIZES[-1]:
        return
    rows = [
        f"| {n:,} | {stage} | {wall:.1f} | {cpu:.2f} | {memory:.0f} | {disk:.1f} |"
        for n, stage, wall, cpu, memory, disk in table.itertuples(index=False)
    ]
    save(
        "scale",
        f"""# From 1,000 to 100,000 tracks

{machine()}

`python bench/scale.py`. Generated clips of {SECONDS} s at {RATE} Hz ({synthetic.DISTINCT} different, MP3,
as hard links) with tables shaped as FMA's (52 columns, 2.4 kB a row), each stage in a process of its own.
Time is that of the stage's work, without the start of Python and its imports; memory is the peak of the
process, imports included. *Processor time* (user and system) is the figure to read: the machine was shared.

![processor time and memory against the number of tracks](scale.png)

| stage | exponent of time, 10,000 to 100,000 | MB at 1,000 | MB at 100,000 | kB per track |
| --- | ---: | ---: | ---: | ---: |
{chr(10).join(lines(table))}

| tracks | stage | seconds | processor seconds | peak MB | disk, MB |
| ---: | --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )


def main() -> None:
    """Measure and write the results."""
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory(prefix="overtone-scale-") as name:
        made = synthetic.clips(Path(name) / "clips", SECONDS, RATE)
        for tracks in SIZES:
            folder = Path(name) / str(tracks)
            rows += run(made, folder, tracks)
            shutil.rmtree(folder)
            write(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
