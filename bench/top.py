"""Measure the highest octave of full-band music: level and error, band by band.

    bash recipes/music.sh recipes/music_test.csv FOLDER
    bash recipes/music.sh recipes/music_held_out.csv FOLDER
    python bench/top.py FOLDER [MODEL ...] [--seconds 15]

Most music that anyone trains on is lossy and ends at 16 to 19 kHz, and a score over all of it says little of
what lies above. Here only the tracks count that reach 20 kHz. As in bench/quality.py, each gives so many
seconds of its middle, low-passed at two cutoffs; OVERTONE_JOBS tracks at a time. Writes bench/results/top.md.
"""

import itertools
import math
from pathlib import Path

import pandas as pd
import torch
from quality import RATE, load, music_and_models, name_rows, restored

from overtone import formats
from overtone.audio import stft
from overtone.audio.bandwidth import music_end
from overtone.core import parallel
from overtone.evaluation.comparison.chunks import lowpass
from overtone.evaluation.metrics import distances
from overtone.models import registry

CUTOFFS = (4000, 8000)
EDGES = (12000, 15000, 17000, 18500, 20000)
BANDS = list(itertools.pairwise(EDGES))

NOTES = """\
Level: of the band's power over all frames against the original's, in dB, mean over the tracks; negative is
too soft. LSD: log-spectral distance in bels over the band's bins."""


def levels(samples, bands):
    """Power of (channels, time) samples in each band, a pair of frequencies in Hz, in dB."""
    hertz = stft.frequencies(RATE)
    bins = [(hertz >= low) & (hertz < high) for low, high in bands]
    powers = [0.0] * len(bands)
    for part in stft.stft_blocks(samples):
        for number, inside in enumerate(bins):
            powers[number] += float(part[..., inside, :].abs().square().sum())
    return [10 * math.log10(power + 1e-12) for power in powers]


def judge(track_id, path, folders, seconds):
    """One track under every system and cutoff: a row per band; none if it does not reach the top."""
    torch.set_num_threads(1)
    original = load(path, seconds)
    if music_end(original.numpy(), RATE) < EDGES[-1]:
        return []
    nets = {name: registry.load(folder)[0] for name, folder in folders.items()}
    true, rows = levels(original, BANDS), []
    for cutoff in CUTOFFS:
        damaged = lowpass(original, cutoff, RATE)
        for name, estimate in restored(damaged, cutoff, nets).items():
            by_band = distances.log_spectral_distances(original, estimate, RATE, BANDS)
            off = [made - there for made, there in zip(levels(estimate, BANDS), true, strict=True)]
            rows += [(cutoff, name, track_id, *values) for values in zip(BANDS, off, by_band, strict=True)]
    return rows


def main():
    """Score every system in every band and write the results."""
    asked = music_and_models(__doc__, 15).parse_args()
    folders = name_rows(asked.models)
    paths = sorted(path for path in asked.music.rglob("*") if formats.is_sound(path))
    calls = [(str(path.relative_to(asked.music)), path, folders, asked.seconds) for path in paths]
    rows = [row for found in parallel.run_all(judge, calls) for row in found]
    table = pd.DataFrame(rows, columns=["cutoff", "system", "track", "band", "level", "lsd"])
    means = table.groupby(["cutoff", "system", "band"], sort=False)[["level", "lsd"]].mean()
    heads = [f"{low / 1000:g}-{high / 1000:g} kHz" for low, high in BANDS]
    text = [
        __doc__.splitlines()[0],
        "",
        f"{table['track'].nunique()} of {len(paths)} tracks reach {EDGES[-1] / 1000:g} kHz; "
        f"{asked.seconds} s of each.",
        "",
        NOTES,
        "",
        "| cutoff | system | " + " | ".join(f"{head}: level / LSD" for head in heads) + " |",
        "| --- " * (2 + len(heads)) + "|",
    ]
    for (cutoff, name), found in means.groupby(level=["cutoff", "system"], sort=False):
        cells = [f"{level:+.1f} / {distance:.2f}" for level, distance in found.to_numpy()]
        text.append(f"| {cutoff} | {name} | " + " | ".join(cells) + " |")
    target = Path(__file__).parent / "results/top.md"
    target.write_text("\n".join(text) + "\n")
    print(target.read_text(), end="")


if __name__ == "__main__":
    main()
