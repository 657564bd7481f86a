"""Measure how steady noise, such as a tape's hiss, continues above the cutoff: alone, and in pauses of music.

    bash recipes/music.sh recipes/music_test.csv FOLDER
    python bench/noise_floor.py FOLDER [MODEL ...] [--seconds 10]

Noise of three slopes alone, and white noise under the middle seconds of every track, so many dB under the
track's mean power; of a track the softest fifth of frames counts, where noise is audible. Low-passed at two
cutoffs as in bench/quality.py; OVERTONE_JOBS tracks at a time. Writes bench/results/noise_floor.md.
"""

import itertools
import math
from pathlib import Path

import pandas as pd
import torch
from quality import RATE, load, music_and_models, name_rows, restored

from overtone import formats
from overtone.audio import stft
from overtone.core import parallel
from overtone.evaluation.comparison.chunks import lowpass
from overtone.evaluation.metrics import distances
from overtone.models import registry

CUTOFFS = (4000, 8000)
EDGES = (4000, 8000, 12000, 15000, 18000)
BANDS = list(itertools.pairwise(EDGES))
SLOPES = (0, -3, -6)
UNDER = (30, 50)
SOFT = 0.2

NOTES = """\
Level: of the band's power in these frames against the original's, in dB, mean over the tracks; negative is
too soft. LSD: log-spectral distance in bels there, from the cutoff to the last band's end."""


def noise(length, slope, seed):
    """Gaussian noise of so many samples and dB per octave, its root mean square 1: (1, time)."""
    spectrum = torch.fft.rfft(torch.randn(length, generator=torch.Generator().manual_seed(seed)))
    octaves = (torch.fft.rfftfreq(length, 1 / RATE).clamp_min(40) / 1000).log2()
    made = torch.fft.irfft(spectrum * 10 ** (slope / 20 * octaves), n=length)
    return (made / made.square().mean().sqrt())[None]


def compare(kind, number, original, folders):
    """One sound under every system and cutoff: a row per band above the cutoff, in the frames that count."""
    torch.set_num_threads(1)
    nets = {name: registry.load(folder)[0] for name, folder in folders.items()}
    hertz = stft.frequencies(RATE)
    true, rows = stft.stft(original), []
    for cutoff in CUTOFFS:
        damaged = lowpass(original, cutoff, RATE)
        loudness = stft.stft(damaged).abs().square().sum((0, 1))
        soft = loudness <= loudness.quantile(SOFT) if number else loudness > 0
        for name, estimate in restored(damaged, cutoff, nets).items():
            both = [spectrum[..., soft] for spectrum in (true, stft.stft(estimate))]
            inside = (hertz >= cutoff) & (hertz < EDGES[-1])
            theirs, ours = (distances.log_power(spectrum[:, inside]) for spectrum in both)
            row = {"LSD": float((ours - theirs).square().mean(1).sqrt().mean())}
            for low, high in BANDS:
                if low >= cutoff:
                    band = (hertz >= low) & (hertz < high)
                    theirs, ours = (float(s[:, band].abs().square().sum()) + 1e-12 for s in both)
                    row[low, high] = 10 * math.log10(ours / theirs)
            rows.append({"sound": kind, "cutoff": cutoff, "system": name} | row)
    return rows


def judge(number, path, folders, seconds):
    """One track, with noise of every level."""
    music = load(path, seconds)
    power = music.square().mean().sqrt()
    hiss = torch.cat([noise(music.shape[1], 0, 1000 * number + channel) for channel in range(len(music))])
    rows = []
    for under in UNDER:
        hissing = music + hiss * power * 10 ** (-under / 20)
        kind = f"pauses of music, white noise at -{under} dB"
        rows += compare(kind, number, hissing / hissing.abs().max().clamp_min(1), folders)
    return rows


def main():
    """Score every system in every band and write the results."""
    asked = music_and_models(__doc__, 10).parse_args()
    folders = name_rows(asked.models)
    paths = sorted(path for path in asked.music.rglob("*") if formats.is_sound(path))
    rows = []
    for slope in SLOPES:
        sound = 0.02 * noise(asked.seconds * RATE, slope, -slope)
        rows += compare(f"noise alone, {slope} dB per octave", 0, sound, folders)
    calls = [(number, path, folders, asked.seconds) for number, path in enumerate(paths, start=1)]
    rows += [row for found in parallel.run_all(judge, calls) for row in found]
    means = pd.DataFrame(rows).groupby(["sound", "cutoff", "system"], sort=False).mean()
    heads = [f"{low / 1000:g}-{high / 1000:g} kHz" for low, high in BANDS]
    text = [
        __doc__.splitlines()[0],
        "",
        f"{len(paths)} tracks, {asked.seconds} s of each; noise of as many seconds.",
        "",
        NOTES,
        "",
        "| sound | cutoff | system | LSD | " + " | ".join(heads) + " |",
        "| --- | ---: | --- " + "| ---: " * (1 + len(heads)) + "|",
    ]
    for (sound, cutoff, name), found in means.iterrows():
        levels = ["" if math.isnan(found[band]) else f"{found[band]:+.1f}" for band in BANDS]
        text.append(f"| {sound} | {cutoff} | {name} | {found['LSD']:.2f} | {' | '.join(levels)} |")
    target = Path(__file__).parent / "results/noise_floor.md"
    target.write_text("\n".join(text) + "\n")
    print(target.read_text(), end="")


if __name__ == "__main__":
    main()
