"""Compare with published figures: the log-spectral distance by the definitions of the publications.

    python bench/published.py RECORDINGS [MODEL]

RECORDINGS holds the validation set of real recordings (recipes/music.md); its voices are left out. The model
is the one that comes with overtone by default. Writes bench/results/published.md.
"""

import sys
from pathlib import Path

import numpy as np
import recordings
import torch
from quality import RATE, at_model_rate, restored

from overtone.core import parallel
from overtone.evaluation.comparison.chunks import lowpass
from overtone.evaluation.metrics import published_lsd
from overtone.models import registry

SECONDS = 12
CUTOFFS = (4000, 8000)
SYSTEMS = ("input", "noise fill", "band replication", "model")


def judge(path, folder):
    """(cutoff, system) -> UniverSR's and ssr_eval's distance of one recording."""
    torch.set_num_threads(1)
    net, _ = registry.load(folder)
    original = at_model_rate(*recordings.read_excerpt(path, SECONDS))
    found = {}
    for cutoff in CUTOFFS:
        made = restored(lowpass(original, cutoff, RATE), cutoff, {"model": net})
        for name in SYSTEMS:
            both = original, made[name]
            found[cutoff, name] = (
                published_lsd.universr(*both, RATE, cutoff),
                published_lsd.ssr_eval(*both, RATE),
            )
    return found


def main():
    """Score the recordings and write the table."""
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else registry.SHIPPED
    chosen = recordings.choose("validation", Path(sys.argv[1]), recordings.PER_ARTIST)
    files = [recording.file for recording in chosen if recording.name.startswith("recordings/")]
    scored = list(parallel.run_all(judge, [(file, folder) for file in files]))
    lines = [
        __doc__.splitlines()[0],
        "",
        f"{len(files)} excerpts of {SECONDS} s of the validation set, clean low-pass. Bels, less is better.",
        "",
        "| cutoff | system | UniverSR's definition | ssr_eval's definition |",
        "| --- | --- | --- | --- |",
    ]
    for cutoff, name in scored[0]:
        means = np.mean([found[cutoff, name] for found in scored], axis=0)
        lines.append(f"| {cutoff} | {name} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    text = "\n".join(lines) + "\n"
    (Path(__file__).parent / "results/published.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
