"""Measure restoring of files as codecs leave them, with the cutoff found from the sound.

    bash recipes/music.sh recipes/music_test.csv FOLDER
    python bench/codecs.py FOLDER [MODEL ...] [--seconds 15]

bench/quality.py judges behind a clean low-pass. A codec that is short of bits also leaves holes below its
own: bands that it drops in some frames. As there, every track gives so many seconds of its middle, and
OVERTONE_JOBS tracks are scored at a time. Each is encoded and decoded by libsndfile at the file's own rate,
and restored as `overtone restore` does it. Writes bench/results/codecs.md.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from quality import RATE, load, music_and_models, name_rows
from top import levels

from overtone import formats, restore
from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.audio.cutoff import SpectrumMeter
from overtone.core import parallel
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.metrics import distances
from overtone.models import registry
from overtone.restoration.stream.limits import restored_from
from overtone.training import codecs

FILLS = ("noise fill", "band replication")


def mp3(rate, kilobits):
    """At an average bitrate of all channels."""
    return {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "compression_level": codecs.mp3_level(rate, kilobits),
        "bitrate_mode": "AVERAGE",
    }


# Its name, rate, channels, and how libsndfile is asked for it.
FILES = (
    ("MP3, 24 kbit/s, mono, 24 kHz", 24000, 1, mp3(24000, 24)),
    ("MP3, 32 kbit/s, 22 kHz", 22050, 2, mp3(22050, 32)),
    *((f"MP3, {kilobits} kbit/s", RATE, 2, mp3(RATE, kilobits)) for kilobits in (40, 48, 64, 80, 96)),
    ("Vorbis, lowest quality", RATE, 2, {"format": "OGG", "subtype": "VORBIS", "compression_level": 1.0}),
    ("IMA ADPCM, 22 kHz", 22050, 2, {"format": "WAV", "subtype": "IMA_ADPCM"}),
    ("mu-law, 8 kHz", 8000, 1, {"format": "WAV", "subtype": "ULAW"}),
    ("GSM 6.10, 8 kHz", 8000, 1, {"format": "WAV", "subtype": "GSM610"}),
)

NOTES = """\
Cutoff: in the median, as found. LSD: log-spectral distance in bels from the cutoff to each track's own
bandwidth. Level: error of the level there in dB. Softer: how many dB less there is than in the original; side
softer: the same of what left and right do not share. Where it is more, the image gets narrower."""


def coded(original, rate, channels, kind):
    """(channels, time) at RATE as a file of that kind gives it back, at the file's rate."""
    if channels == 1:
        original = original.mean(0, keepdims=True)
    samples = resample.resample(original, RATE, rate) if rate != RATE else original
    decoded = codecs.round_trip(samples.T.clip(-1, 1), rate, **kind)
    return np.ascontiguousarray(decoded.T[:, : samples.shape[1]])


def softer(original, estimate, band):
    """How many dB less the estimate has in a band."""
    true, own = (levels(sound, [band])[0] for sound in (original, estimate))
    return true - own


def judge(path, folders, seconds):
    """One track behind every codec: a row per system; none where it is full band all the same."""
    torch.set_num_threads(1)
    whole = load(path, seconds).numpy()
    nets = {name: registry.load(folder)[0] for name, folder in folders.items()}
    rows = []
    for name, rate, channels, kind in FILES:
        samples = coded(whole, rate, channels, kind)
        meter = SpectrumMeter(rate)
        meter.add(samples)
        found = meter.cutoff()
        original = torch.from_numpy(whole if channels == 2 else whole.mean(0, keepdims=True))
        stereo = len(original) == 2 and bool((original[0] != original[1]).any())
        reach, start = measure_bandwidth(original.numpy(), RATE), restored_from(found.hz, rate)
        if found.full_band or reach < start + 2000:
            continue
        again = resample.resample(samples, rate, RATE) if rate != RATE else samples
        made = {fill: BASELINES[fill](torch.from_numpy(again), start, RATE) for fill in FILLS}
        for model, net in nets.items():
            restored = restore(samples, rate, cutoff=found.hz, model=net, out_rate=RATE)
            made[model] = torch.from_numpy(restored)
        for system, estimate in made.items():
            length = min(original.shape[1], estimate.shape[1])
            pair = original[:, :length], estimate[:, :length]
            distance = distances.log_spectral_distances(*pair, RATE, [(start, reach)])[0]
            error = distances.measure_high_band(*pair, RATE, start, reach)["level_error"]
            side = softer(*(sound.diff(dim=0) for sound in pair), (start, reach)) if stereo else np.nan
            rows.append((name, system, found.hz, distance, error, softer(*pair, (start, reach)), side))
    return rows


def main():
    """Score every system behind every codec and write the results."""
    asked = music_and_models(__doc__, 15).parse_args()
    folders = name_rows(asked.models)
    paths = sorted(path for path in asked.music.rglob("*") if formats.is_sound(path))
    calls = [(path, folders, asked.seconds) for path in paths]
    rows = [row for found in parallel.run_all(judge, calls) for row in found]
    table = pd.DataFrame(rows, columns=["file", "system", "cutoff", "lsd", "level", "softer", "side"])
    text = [
        __doc__.splitlines()[0],
        "",
        f"{len(paths)} tracks, {asked.seconds} s of each; those of each kind that are not full band.",
        "",
        NOTES,
        "",
        "| file | tracks | cutoff | system | LSD | level dB | softer dB | side softer dB |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (name, system), part in table.groupby(["file", "system"], sort=False):
        means = part[["lsd", "level", "softer", "side"]].mean()
        text.append(
            f"| {name} | {len(part)} | {part['cutoff'].median():.0f} | {system} "
            f"| {means['lsd']:.2f} | {means['level']:.1f} | {means['softer']:.1f} "
            f"| {'' if np.isnan(means['side']) else format(means['side'], '.1f')} |"
        )
    (Path(__file__).parent / "results" / "codecs.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
