"""Draw the pictures of a run from what its stages wrote: plots/*.png and plots/spectrograms/."""

from pathlib import Path

import numpy as np
import pandas as pd

from overtone.report import data_uris, plots
from overtone.report.music import Music

VERSIONS = ("degraded", "restored", "original")


def draw(folder: Path) -> list[str]:
    """Draw every picture of the run in a folder.

    Args:
        folder: the root of the repository.

    Returns:
        The rows that plots/distance.png leaves out, as it has a few colours only.
    """
    plots.loss_curves(pd.read_csv(folder / "plots/loss.csv"), folder / "plots/loss.png")
    # The cutoff of the pipeline comes first in the table of scores.
    cutoff = float(pd.read_csv(folder / "plots/scores.csv", nrows=1)["cutoff"].iloc[0])
    _draw_examples(folder, cutoff)
    table = pd.read_csv(folder / "data/distance.csv")
    shown = choose_rows(table, len(plots.COLOURS))
    curves = {
        name: (
            rows["frequency_hz"].to_numpy(),
            rows["distance_bel"].to_numpy(),
        )
        for name in shown
        for rows in [table[table["system"] == name]]
    }
    plots.distance_by_frequency(curves, cutoff, half_ended(table), folder / "plots/distance.png")
    return [name for name in table["system"].unique() if name not in shown]


def _draw_examples(folder: Path, cutoff: float) -> None:
    """Draw a spectrogram of every example, and the mean spectra of all of them together."""
    music = Music(folder)
    spectrograms = folder / "plots/spectrograms"
    spectrograms.mkdir(parents=True, exist_ok=True)
    for old in spectrograms.glob("*.png"):
        old.unlink()
    versions: dict[str, list[np.ndarray]] = {name: [] for name in VERSIONS}
    originals = sorted(
        (folder / "data/examples").glob("*_original.flac"), key=lambda path: int(path.stem.split("_")[0])
    )
    for original in originals:
        number = int(original.stem.split("_")[0])
        sounds = {name: data_uris.read(original.with_name(f"{number}_{name}.flac")) for name in VERSIONS}
        rate = sounds["original"][1]
        samples = {name: wave.T for name, (wave, _) in sounds.items()}
        about = music.name(music.chunks[number - 1])
        title = f"{about['title']} (track {about['track']})"
        path = spectrograms / f"{number}.png"
        plots.spectrograms(
            samples["degraded"], samples["restored"], samples["original"], rate, cutoff, title, path
        )
        for name in VERSIONS:
            versions[name].append(samples[name])
    if originals:
        concatenated = {name: np.concatenate(samples, axis=-1) for name, samples in versions.items()}
        plots.mean_spectra(concatenated, rate, cutoff, folder / "plots/spectrum.png")


def choose_rows(table: pd.DataFrame, most: int) -> list[str]:
    """Choose the rows to draw: the input, then systems, other baselines, and networks alone last.

    Args:
        table: data/distance.csv.
        most: how many at most.

    Returns:
        Their names, in the order of the table.
    """
    kinds = dict(zip(table["system"], table["kind"], strict=True))
    rank = {"system": 1, "baseline": 2, "network": 3}
    ranked = sorted(kinds, key=lambda name: 0 if name == "input" else rank[kinds[name]])
    return [name for name in kinds if name in ranked[:most]]


def half_ended(table: pd.DataFrame) -> float:
    """Find the frequency in Hz where half of the originals have ended: above it, silence is nearest."""
    ended = table.loc[table["ended"] >= 0.5, "frequency_hz"]
    return float(ended.min() if len(ended) else table["frequency_hz"].max())
