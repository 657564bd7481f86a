"""The shipped model beside what needs no training, on tracks of artists that it was not trained on.

    python bench/quality.py RUN [MODEL]

RUN is the folder of a pipeline run over stereo music (its data/subset.csv, data/split.csv and params.yaml
are read), MODEL a model folder, by default RUN/data/model. Every test track gives the 30 s in its middle,
low-passed by a zero-phase elliptic filter at four cutoffs. Writes bench/results/quality.md, and
bench/results/quality.json for the model's card.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from scipy import signal

from overtone import audio, models, scores, spectral
from overtone.baselines import BASELINES
from overtone.restoring import Restorer

RATE, SECONDS = 44100, 30
CUTOFFS = (4000, 5500, 8000, 11000)
OCTAVES = 2  # bands above the cutoff in which the stereo image is compared


def middle(path):
    """The 30 s in a file's middle, (2, time) at 44.1 kHz."""
    with soundfile.SoundFile(path) as file:
        length = min(file.frames, SECONDS * file.samplerate)
        file.seek((file.frames - length) // 2)
        samples = file.read(length, dtype="float32", always_2d=True).T
        samples = audio.resample(np.ascontiguousarray(samples), file.samplerate, RATE)
    return torch.from_numpy(np.repeat(samples, 2, 0) if len(samples) == 1 else samples[:2].copy())


def lowpass(samples, cutoff):
    """A steep low-pass without delay."""
    sos = signal.ellip(10, 0.05, 40, cutoff, fs=RATE, output="sos")
    return torch.from_numpy(signal.sosfiltfilt(sos, samples.numpy()).astype(np.float32))


def restored(net, samples, cutoff, peak):
    """What `overtone restore` makes of (channels, time)."""
    restorer = Restorer(net, RATE, len(samples), cutoff, peak, RATE)
    return torch.from_numpy(np.concatenate([restorer.process(samples.numpy()), restorer.flush()], 1))


def image(samples, low, high):
    """Level difference in dB and coherence (0 to 1) between the channels of a band, mean over time."""
    spectrum = spectral.stft(samples)[..., spectral.above(low, RATE) & ~spectral.above(high, RATE), :]
    power = spectrum.abs().square().mean(-2) + 1e-9
    cross = (spectrum[0] * spectrum[1].conj()).mean(-2).abs()
    return 10 * (power[0] / power[1]).log10(), cross / (power[0] * power[1]).sqrt()


def stereo_error(original, made, cutoff):
    """Mean absolute error of level difference and coherence over the bands above the cutoff."""
    errors = []
    for band in range(OCTAVES):
        edges = cutoff * 2 ** (band / 2), min(cutoff * 2 ** ((band + 1) / 2), RATE / 2)
        true, ours = image(original, *edges), image(made, *edges)
        errors.append([float((a - b).abs().mean()) for a, b in zip(true, ours, strict=True)])
    return np.mean(errors, axis=0)


def main():
    """Score every system at every cutoff and write both files."""
    run = Path(sys.argv[1])
    net, _ = models.load(sys.argv[2] if len(sys.argv) > 2 else run / "data/model")
    subset = pd.read_csv(run / "data/subset.csv", index_col="track_id")
    split = pd.read_csv(run / "data/split.csv", index_col="track_id")["split"]
    rows = []
    for track_id, path in subset["path"][split == "test"].items():
        original = middle(run / "data/fma" / path)
        reach = spectral.bandwidth(original, RATE)
        peak = float(original.abs().max())
        for cutoff in CUTOFFS:
            if reach < cutoff + 2000:
                continue
            damaged = lowpass(original, cutoff)
            made = {name: system(damaged, cutoff, RATE) for name, system in BASELINES.items()}
            made["model"] = restored(net, damaged, cutoff, peak)
            alone = [restored(net, damaged[c : c + 1], cutoff, peak) for c in (0, 1)]
            made["model, channels apart"] = torch.cat(alone)
            for name, estimate in made.items():
                level, coherence = stereo_error(original, estimate, cutoff)
                rows.append(
                    {
                        "cutoff": cutoff,
                        "system": name,
                        "track": track_id,
                        "LSD high": scores.log_spectral_distance(original, estimate, RATE, cutoff, reach),
                        "LSD": scores.log_spectral_distance(original, estimate, RATE, 0, reach),
                        "SNR dB": scores.snr(original, estimate),
                        "image dB": level,
                        "coherence": coherence,
                    }
                )
        print(f"track {track_id}: {path}", flush=True)
    table = pd.DataFrame(rows)
    means = table.groupby(["cutoff", "system"], sort=False).mean().drop(columns="track")
    tracks = table.groupby("cutoff")["track"].nunique()
    text = [__doc__.splitlines()[0], "", f"Test tracks by cutoff: {tracks.to_dict()}.", ""]
    text += [
        "LSD high: log-spectral distance from the cutoff to each track's own bandwidth; image dB and",
        "coherence: mean error of the level difference and of the coherence between left and right in",
        "half-octave bands above the cutoff (a silent band counts as level with itself).",
        "",
        "| cutoff | system | " + " | ".join(means.columns) + " |",
        "| --- " * (len(means.columns) + 2) + "|",
    ]
    for (cutoff, name), row in means.iterrows():
        text.append(f"| {cutoff} | {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |")
    folder = Path(__file__).parent / "results"
    (folder / "quality.md").write_text("\n".join(text) + "\n")
    figures = {
        str(cutoff): {
            name: {key: round(value, 3) for key, value in values.items()}
            for name, values in means.loc[cutoff].to_dict("index").items()
        }
        for cutoff in CUTOFFS
    }
    (folder / "quality.json").write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
