"""Time, memory and disk of restoring 1 minute to 3 hours of stereo, and the exponent of each.

python bench/growth_restoring.py (20 minutes on a quiet machine, 3 GB of disk, given back)
    -> bench/results/growth_restoring.md

What `growth.py` does for the stages. The time fitted is processor time above that of a short file, which has
all that a run does once, such as loading the network.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import long_file
import soundfile
from growth import LIMIT, marked
from machine import ROOT, machine, save
from measured import Cost, exponent

# Minutes of sound; the first is taken off the others.
FEW, SIZES = 0.2, (1.0, 3.0, 10.0, 30.0, 180.0)
# Restores one file; prints processor seconds (user and system) and the peak of memory in MB: all of it, and
# without the pages of files, which the system takes back when it needs them.
RUN = """
import resource, sys, threading, time
from pathlib import Path
from overtone.restoration.restore_file import restore_file
from overtone.restoration.stream.load import open_model

def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if " kB" in line}

most = [0.0]
def watch():
    while True:
        most[0] = max(most[0], memory()["RssAnon"])
        time.sleep(0.05)

threading.Thread(target=watch, daemon=True).start()
net = open_model(None, "cpu")
began, used = time.perf_counter(), time.process_time()
restore_file(sys.argv[1], sys.argv[2], model=net, force=True)
print(time.perf_counter() - began, time.process_time() - used, memory()["VmHWM"], most[0])
"""


def restore(source: Path, target: Path) -> tuple[Cost, float]:
    """Restore a file by one thread in a process of its own; return its cost, and MB without files' pages."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, source, target]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu, memory, anonymous = map(float, done.stdout.split())
    return Cost(wall, cpu, memory), anonymous


def main() -> None:
    """Measure and write the results."""
    music, costs, anonymous, disks = long_file.clips(), [], [], []
    with tempfile.TemporaryDirectory(prefix="overtone-growth-") as name:
        source, target = Path(name, "in.flac"), Path(name, "out.flac")
        for minutes in (FEW, *SIZES):
            length = long_file.write(source, music, minutes)
            cost, own = restore(source, target)
            if soundfile.info(target).frames != length:
                sys.exit(f"error: {soundfile.info(target).frames} samples of {length}")
            costs.append(cost)
            anonymous.append(own)
            disks.append(target.stat().st_size / 1e6)
            print(f"{time.strftime('%H:%M:%S')} {minutes:g} min: {cost}, {own:.0f} MB anonymous", flush=True)
    few, *costs = costs
    above = [cost.cpu - few.cpu for cost in costs]
    powers = [
        exponent([minutes - FEW for minutes in SIZES], above),
        exponent(SIZES, [cost.memory for cost in costs]),
        exponent(SIZES, disks[1:]),
    ]
    rows = [
        f"| {minutes:g} | {cost.wall:.1f} | {cost.cpu:.1f} | {seconds:.1f} | "
        f"{minutes * 60 / cost.wall:.1f} | {cost.memory:.0f} | {own:.0f} | {disk:.1f} |"
        for minutes, cost, seconds, own, disk in zip(
            SIZES, costs, above, anonymous[1:], disks[1:], strict=True
        )
    ]
    save(
        "growth_restoring",
        f"""# The cost of restoring grows as the length

{machine()}

`python bench/growth_restoring.py`: stereo FLAC at 44.1 kHz that ends at 8 kHz to 24-bit FLAC, the shipped
model, one thread, one run each. *Exponent*: the p of cost = c * minutes^p, by least squares on logarithms; 1
is linear, 0 constant. One over {LIMIT} is in bold. That of time is fitted to *above few*: the processor time
less that of {FEW:g} minutes, against the minutes less those. Times are without the start of Python, the
imports and loading the network; memory is the peak of the process with them, with and without the pages of
files.

| time | memory | disk |
| ---: | ---: | ---: |
| {" | ".join(map(marked, powers))} |

| minutes | seconds | processor seconds | above few | times real time | peak MB | without files | disk, MB |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}
""",
    )
    if max(powers) > LIMIT:
        sys.exit("error: the cost grows faster than the length; the results mark it")


if __name__ == "__main__":
    main()
