"""Measure how well narrowband passages are found, and what restoring them alone gains.

    python recipes/voices.py VOICES
    bash recipes/music.sh recipes/music_test.csv MUSIC
    python bench/parts.py VOICES MUSIC

Talks are made up: a host in full band and a guest whose voice went through a lower rate take turns, over a
soft hiss; both are voices that reach 15.5 kHz. Then every file of both folders is looked through for parts by
itself. The constants of overtone.restoration.stream.narrowband were chosen on the same voices in other talks.
OVERTONE_JOBS talks at a time; six minutes of a core in all. Writes bench/results/parts.md.
"""

import argparse
from pathlib import Path

import numpy as np
import soxr
import torch
from quality import RATE, load

from overtone import formats, restore
from overtone.audio.cutoff import SpectrumMeter
from overtone.core import parallel
from overtone.evaluation.metrics import distances
from overtone.models import registry
from overtone.restoration.stream.analysis import analyze
from overtone.training import codecs

TALKS = 24  # of each kind
TURNS, SHORTEST, LONGEST = 8, 2.0, 8.0  # seconds
LEAST_SECONDS = 20  # of a voice
PEAK, HISS_DB = 0.3, -75.0
# What the guest's voice goes through, and the rate in Hz.
CALLS = {"telephone (8 kHz)": 8000, "wideband (16 kHz)": 16000}
AFTERWARDS = ("as it is", "MP3, 128 kbit/s")
WAYS = ("as it is", "`overtone restore`", "`overtone restore --parts`")
MOST_SECONDS = 180  # of a track that is looked through

NOTES = """\
Found: talks in which there were parts. Guest: share of the guest's turns that lies inside them, mean over
those talks; host: share of the host's turns that does, too. LSD: log-spectral distance in bels, from the
cutoff that was found to 15 kHz, of the guest's and of the host's turns from what both were before the call
and any MP3, mean over those talks. `overtone restore` without --parts restores a talk whose cutoff it finds
as a whole."""


def voice(path):
    """A voice of PEAK, (1, time), if it is in full band and long enough."""
    samples = load(path, 60).numpy()[:1]
    meter = SpectrumMeter(RATE)
    meter.add(samples)
    enough = meter.cutoff().full_band and samples.shape[1] >= LEAST_SECONDS * RATE
    return samples * (PEAK / np.abs(samples).max()) if enough else None


def talk(voices, rate, rng):
    """A talk as it was and with the guest's call, both (1, time); who speaks: 0 host, 1 guest, -1 nobody."""
    host, guest = voices
    called = soxr.resample(soxr.resample(guest[0], RATE, rate), rate, RATE)
    # A resampler may end a few samples early.
    through = host, np.pad(called, (0, 8))[None, : guest.shape[1]].astype(np.float32)
    at, before, after, who = [0, 0], [], [], []
    for turn in range(TURNS):
        speaker = turn % 2
        length = round(rng.uniform(SHORTEST, LONGEST) * RATE)
        if at[speaker] + length > voices[speaker].shape[1]:
            at[speaker] = 0
        part = slice(at[speaker], at[speaker] + length)
        at[speaker] += length
        pause = round(rng.uniform(0.05, 0.6) * RATE)
        for line, source in ((before, voices), (after, through)):
            line.append(np.pad(source[speaker][:, part], ((0, 0), (0, pause))))
        who.append(np.repeat([speaker, -1], [length, pause]))
    hiss = rng.normal(0, 10 ** (HISS_DB / 20), (1, sum(map(len, who)))).astype(np.float32)
    return *(np.concatenate(line, axis=1) + hiss for line in (before, after)), np.concatenate(who)


def score_talk(paths, rate, afterwards, seed):
    """None where no parts are found; else their cutoff, both shares, and LSD by way for guest and host."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    before, after, who = talk([voice(path) for path in paths], rate, rng)
    if afterwards != AFTERWARDS[0]:
        kind = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
        coded = codecs.round_trip(after.T, RATE, **kind, compression_level=codecs.mp3_level(RATE, 128))
        after = np.ascontiguousarray(coded.T[:, : after.shape[1]])
    found = analyze(after, RATE, passages=True, noise=False)
    if not found.spans:
        return None
    net, _ = registry.load_shipped()
    inside = np.zeros(len(who), bool)
    for start, end in found.spans:
        inside[round(start * RATE) : round(end * RATE)] = True
    made = after, restore(after, RATE, model=net), restore(after, RATE, model=net, parts=True)
    row = [found.cutoff.hz, inside[who == 1].mean(), inside[who == 0].mean()]
    for speaker in (1, 0):
        for samples in made:
            pair = (torch.from_numpy(x[:, who == speaker].copy()) for x in (before, samples))
            row.append(distances.log_spectral_distance(*pair, RATE, found.cutoff.hz, 15000))
    return row


def look_through(path):
    """What share of a file its parts cover; None if it has none."""
    samples = load(path, MOST_SECONDS).numpy()
    spans = analyze(samples, RATE, passages=True, noise=False).spans
    return sum(end - start for start, end in spans) * RATE / samples.shape[1] if spans else None


def main():
    """Judge the talks, look through the files, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voices", type=Path, metavar="VOICES")
    parser.add_argument("music", type=Path, metavar="MUSIC")
    asked = parser.parse_args()
    folders = {
        what: sorted(path for path in folder.rglob("*") if formats.is_sound(path))
        for what, folder in (("voices", asked.voices), ("music", asked.music))
    }
    able = [path for path in folders["voices"] if voice(path) is not None]
    rng = np.random.default_rng(0)
    kinds = [(call, afterwards) for call in CALLS for afterwards in AFTERWARDS]
    calls = [
        ([able[number] for number in rng.choice(len(able), 2, replace=False)], CALLS[call], afterwards, seed)
        for call, afterwards in kinds
        for seed in range(TALKS)
    ]
    scored = list(parallel.run_all(score_talk, calls))
    text = [__doc__.splitlines()[0], "", f"{TALKS} talks of each kind by {len(able)} voices.", "", NOTES, ""]
    text += [
        "| the guest's call | the talk | found | cutoff | guest | host |",
        "| --- | --- " + "| ---: " * 4 + "|",
    ]
    lines = []
    for number, kind in enumerate(kinds):
        rows = [row for row in scored[number * TALKS :][:TALKS] if row]
        cutoff, guest, host = (
            np.median([row[0] for row in rows]),
            *np.mean([row[1:3] for row in rows], axis=0),
        )
        text.append(f"| {' | '.join(kind)} | {len(rows)} | {cutoff:.0f} | {guest:.0%} | {host:.0%} |")
        by_way = np.mean([row[3:] for row in rows], axis=0).reshape(2, len(WAYS)).T
        lines += [
            f"| {' | '.join(kind)} | {way} | {of_guest:.2f} | {of_host:.2f} |"
            for way, (of_guest, of_host) in zip(WAYS, by_way, strict=True)
        ]
    text += ["", "| the guest's call | the talk | restored | LSD guest | LSD host |"]
    text += ["| --- | --- | --- | ---: | ---: |", *lines, ""]
    for what, paths in folders.items():
        shares = {
            path.name: share
            for path, share in zip(paths, parallel.run_all(look_through, [(p,) for p in paths]), strict=True)
            if share
        }
        names = ", ".join(f"{name} ({share:.0%} of it)" for name, share in shares.items())
        text.append(
            f"Of {len(paths)} files of {what} by themselves, parts are found in {len(shares)}"
            + (f": {names}." if names else ".")
        )
    (Path(__file__).parent / "results" / "parts.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
