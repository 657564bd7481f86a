"""Compare restoring with a reference recording and without, on music that no model was trained on.

    python bench/reference.py FOLDER [--chosen]

FOLDER/ARTIST/TRACK is the music, a minute and more of each track. Every other artist is scored, the second,
the fourth and so on by name; bands, limits and strengths in overtone.restoration.reference were chosen on the
rest, which --chosen scores. Of each track 12 s are low-passed by a zero-phase elliptic filter at two cutoffs
and restored; the last 8 s are scored, as restored and by three references:

    just before     the 4 s before them
    half a minute   10 s of the same track, 30 s earlier
    other track     30 s in the middle of another track of the artist

OVERTONE_JOBS tracks are scored at a time. Writes bench/results/reference.md and reference.csv; tracks that
the latter has already are not scored again, so that a run may be broken off.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from machine import machine

from overtone import formats
from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.core import parallel
from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison.chunks import lowpass
from overtone.evaluation.metrics import distances, visqol
from overtone.restoration.reference import gain_curve, open_reference
from overtone.restoration.stream.added_band import Controls, impulse_response
from overtone.restoration.stream.analysis import RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.load import open_model

RATE = 44100
CUTOFFS = (4000, 8000)
LEAD, SCORED = 4, 8  # seconds
LEAST_SECONDS = 56
REFERENCES = ("just before", "half a minute", "other track")
COLUMNS = ["artist", "track", "cutoff", "reference", "strength", "lsd", "visqol", "lsd_with", "visqol_with"]
# The least that a reference must bring: LSD above the cutoff in %, ViSQOL.
BARS = {"just before": (-7.0, 0.10), "half a minute": (-4.0, 0.05), "other track": (0.0, 0.0)}

NOTES = """\
LSD: log-spectral distance in bels from the cutoff to the excerpt's own bandwidth; ViSQOL: 1 to 4.73. Both as
restored and with the reference, means over excerpts; in brackets how many excerpts of 100 are better with it.
Strength: the mean of the default, which is taken from how alike the two recordings are below the cutoff.
Bar: what was asked for before the bench was run."""


def load(path, start, seconds):
    """Seconds of a file from a time on, (1 or 2, time) float32 at 44.1 kHz."""
    with soundfile.SoundFile(path) as file:
        file.seek(max(0, int(start * file.samplerate)))
        samples = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True).T[:2]
        return resample.resample(np.ascontiguousarray(samples), file.samplerate, RATE)


def references(path, other, start):
    """The reference samples of an excerpt that begins at a time, by their names in the table."""
    found = {
        "just before": load(path, start, LEAD),
        "half a minute": load(path, start + LEAD - 40, 10),
    }
    if other is not None:
        found["other track"] = load(other, soundfile.info(other).duration / 2 - 15, 30)
    return found


def shaped(dry, added, curve):
    """Input and added band, (channels, time) each, mixed through a gain curve."""
    if curve is None:
        return dry + added
    taps = impulse_response(curve)
    size = 1 << (added.shape[1] + len(taps)).bit_length()
    convolved = np.fft.irfft(np.fft.rfft(added, size) * np.fft.rfft(taps, size), size)
    middle = len(taps) // 2
    return (dry + convolved[:, middle : middle + added.shape[1]]).astype(np.float32)


def judge(artist, path, other):
    """One track at every cutoff by every reference: a row each."""
    torch.set_num_threads(1)
    net = open_model(None, "cpu")
    start = max(44.0, 0.6 * soundfile.info(path).duration) - LEAD
    start = min(start, soundfile.info(path).duration - LEAD - SCORED - 0.1)
    original = load(path, start, LEAD + SCORED)
    scored = slice(LEAD * RATE, (LEAD + SCORED) * RATE)
    true = torch.from_numpy(original[:, scored].copy())
    reach = measure_bandwidth(true.numpy(), RATE)
    rows = []
    for cutoff in CUTOFFS:
        damaged = lowpass(torch.from_numpy(original), cutoff, RATE).numpy()
        analysis = analyze(damaged, RATE, cutoff, balance=True)
        restorer = open_restorer(analysis, net, RATE, RestorerOptions(apart=True))
        both = np.concatenate([restorer.process(damaged), restorer.flush()], axis=1)
        dry, added = np.split(both, 2)

        def score(curve, dry=dry, added=added, cutoff=cutoff):
            made = torch.from_numpy(shaped(dry, added, curve)[:, scored].copy())
            distance = distances.log_spectral_distance(true, made, RATE, cutoff, reach)
            return distance, visqol.visqol(true, made, RATE)

        plain = score(None)
        for name, samples in references(path, other, start).items():
            try:
                curve = gain_curve(analysis, net, Controls(), open_reference(samples, RATE))
            except OvertoneError as error:
                print(f"{path.name}, {name}: {error}", flush=True)
                continue
            strength = curve.controls.strength if curve else 0.0
            rows.append((artist, path.stem, cutoff, name, strength, *plain, *score(curve)))
    print(path.stem, flush=True)
    return rows


def table(rows):
    """The rows' means as lines of Markdown."""
    lines = [
        "| cutoff | reference | excerpts | strength | LSD: restored | with it | change | bar "
        "| ViSQOL: restored | with it | change | bar |",
        "| --- | --- " + "| ---: " * 10 + "|",
    ]
    for cutoff in CUTOFFS:
        for name in REFERENCES:
            own = rows[(rows["cutoff"] == cutoff) & (rows["reference"] == name)]
            if own.empty:
                continue
            mean = own[["strength", "lsd", "visqol", "lsd_with", "visqol_with"]].mean()
            nearer = 100 * (own["lsd_with"] < own["lsd"]).mean()
            liked = 100 * (own["visqol_with"] > own["visqol"]).mean()
            change = 100 * (mean["lsd_with"] / mean["lsd"] - 1)
            bar = BARS[name]
            lines.append(
                f"| {cutoff} | {name} | {len(own)} | {mean['strength']:.2f} "
                f"| {mean['lsd']:.3f} | {mean['lsd_with']:.3f} | {change:+.1f} % ({nearer:.0f}) "
                f"| {bar[0]:+.0f} % "
                f"| {mean['visqol']:.2f} | {mean['visqol_with']:.2f} "
                f"| {mean['visqol_with'] - mean['visqol']:+.2f} ({liked:.0f}) | {bar[1]:+.2f} |"
            )
    return lines


def score_all(calls, target):
    """Score the tracks that a table does not have yet, and add their rows to it."""
    rows = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=COLUMNS)
    calls = [
        call for call in calls if not ((rows["artist"] == call[0]) & (rows["track"] == call[1].stem)).any()
    ]
    for found in parallel.run_all(judge, calls):
        new = pd.DataFrame(found, columns=COLUMNS).round(4)
        rows = pd.concat([rows, new], ignore_index=True) if len(rows) else new
        rows.to_csv(target, index=False)
    return rows


def main():
    """Score every track and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", type=Path)
    parser.add_argument("--chosen", action="store_true", help="score the artists that all was chosen on")
    asked = parser.parse_args()
    artists = sorted(path for path in asked.music.iterdir() if path.is_dir())
    calls = []
    for artist in artists[0 if asked.chosen else 1 :: 2]:
        tracks = sorted(path for path in artist.iterdir() if formats.is_sound(path))
        tracks = [path for path in tracks if soundfile.info(path).duration >= LEAST_SECONDS]
        for number, path in enumerate(tracks):
            other = tracks[(number + 1) % len(tracks)] if len(tracks) > 1 else None
            calls.append((artist.name, path, other))
    target = Path(__file__).parent / f"results/reference{'_chosen' if asked.chosen else ''}.md"
    rows = score_all(calls, target.with_suffix(".csv"))
    kind = "that bands, limits and strengths were chosen on" if asked.chosen else "that nothing was chosen on"
    text = [
        f"# {__doc__.splitlines()[0]}",
        "",
        machine(),
        "",
        f"{rows['track'].nunique()} tracks of {rows['artist'].nunique()} artists {kind}.",
        "",
        NOTES,
        "",
        *table(rows),
    ]
    target.write_text("\n".join(text) + "\n")
    print(target.read_text(), end="")


if __name__ == "__main__":
    main()
