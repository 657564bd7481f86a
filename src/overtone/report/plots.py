"""Draw figures as PNG: loss curves, spectrograms side by side, mean spectra, distance over frequency.

Each function draws on a figure of its own (no pyplot, no shared state) and writes it whole or not at all.
Samples are NumPy arrays (time,) or (channels, time); channels are averaged in power.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import pandas as pd
from librosa.display import specshow
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from overtone.audio import stft
from overtone.core.atomic import replacing

# Okabe and Ito's palette, distinct for the colour-blind, without its yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# The last two have gaps: above the cutoff, the rows of a network alone coincide with the row of its model.
GAPS = ("-", "-", "-", "-", "-", (0, (8, 8)), (0, (2, 6)))
RANGE = 80  # dB from the loudest point of a spectrogram down to black
DEPTH = 110  # dB from the loudest frequency of a mean spectrum down to the bottom


def loss_curves(history: pd.DataFrame, path: str | Path) -> None:
    """Draw training and validation loss by epoch, with the learning rate below.

    Args:
        history: one row per epoch with epoch, train_loss, validation_loss, lr.
        path: of the PNG.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    for key, colour, label in (
        ("train_loss", COLOURS[0], "training"),
        ("validation_loss", COLOURS[1], "validation"),
    ):
        losses.plot(history["epoch"], history[key], color=colour, label=label, marker=".")
    best = history.sort_values("validation_loss").iloc[0]
    losses.plot(
        best["epoch"],
        best["validation_loss"],
        "o",
        color=COLOURS[1],
        markersize=10,
        fillstyle="none",
        label=f"best: {best['validation_loss']:.4g} at epoch {best['epoch']:.0f}",
    )
    losses.set_ylabel("loss")
    losses.legend()
    rates.step(history["epoch"], history["lr"], where="mid", color=COLOURS[6])
    rates.set(xlabel="epoch", ylabel="learning rate")
    rates.set_ylim(bottom=0)
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, path)


def spectrograms(
    degraded: np.ndarray,
    restored: np.ndarray,
    original: np.ndarray,
    rate: int,
    cutoff: float,
    title: str,
    path: str | Path,
) -> None:
    """Draw the three versions of an excerpt side by side, in dB below the loudest point of the original.

    A few seconds read best. The dashed line is the cutoff in Hz.
    """
    figure = Figure(figsize=(14, 5), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    versions = {"degraded": degraded, "restored": restored, "original": original}
    magnitudes = {name: np.sqrt(_power(samples)) for name, samples in versions.items()}
    loudest = max(float(magnitudes["original"].max()), 1e-8)
    for axis, (name, magnitude) in zip(axes, magnitudes.items(), strict=True):
        image = specshow(
            librosa.amplitude_to_db(magnitude, ref=loudest, top_db=None),
            sr=rate,
            hop_length=stft.HOP,
            x_axis="time",
            y_axis="linear",
            ax=axis,
            vmin=-RANGE,
            vmax=0,
            cmap="magma",
        )
        axis.set(title=name, xlabel="time (s)", ylabel="")
        axis.axhline(cutoff, color="white", linewidth=1, linestyle="--")
    _kilohertz(axes[0], "y")
    axes[0].set_ylabel("frequency (kHz)")
    figure.colorbar(image, ax=axes, label="level (dB)", pad=0.01)
    figure.suptitle(title, parse_math=False)
    _save(figure, path)


def mean_spectra(versions: Mapping[str, np.ndarray], rate: int, cutoff: float, path: str | Path) -> None:
    """Draw the mean power of each frequency in dB, for several versions of the same music, by name."""
    figure, axis = _by_frequency(cutoff, rate / 2)
    frequencies = stft.frequencies(rate)
    spectra = {name: _power(samples).mean(axis=-1) for name, samples in versions.items()}
    loudest = max(float(power.max()) for power in spectra.values())
    for (name, power), colour in zip(spectra.items(), COLOURS, strict=False):
        decibels = librosa.power_to_db(power, ref=max(loudest, 1e-8), amin=1e-12, top_db=None)
        axis.plot(frequencies, decibels, color=colour, label=name, linewidth=1.2)
    axis.set(ylabel="mean power (dB)", ylim=(-DEPTH, 5))
    axis.legend()
    _save(figure, path)


def distance_by_frequency(
    systems: Mapping[str, tuple[np.ndarray, np.ndarray]], cutoff: float, half_ended: float, path: str | Path
) -> None:
    """Draw the log-spectral distance of each system from the original over frequency.

    Args:
        systems: name -> (frequencies in Hz, distance in bels), both (bins,), as
            `overtone.audio.stft.frequencies` and
            `overtone.evaluation.metrics.distances.distance_by_frequency` return them.
        cutoff: in Hz.
        half_ended: the frequency in Hz at which half of the originals have ended; above it, silence is
            nearest.
        path: of the PNG.
    """
    top = max(float(frequencies.max()) for frequencies, _ in systems.values())
    figure, axis = _by_frequency(cutoff, top)
    if half_ended < 0.98 * top:
        axis.axvspan(half_ended, top, color="0.93", label="half of the originals have ended")
    rows = zip(systems.items(), COLOURS, GAPS, strict=False)
    for (name, (frequencies, distance)), colour, gaps in rows:
        axis.plot(frequencies, distance, color=colour, linestyle=gaps, label=name, linewidth=1.4)
    axis.set(ylabel="log-spectral distance (bel)")
    # The worst of seven rows, silence as a rule, may exceed the figure at its highest.
    axis.set_ylim(0, 1.1 * float(np.percentile(np.concatenate([y for _, y in systems.values()]), 95)))
    figure.legend(loc="outside lower center", ncols=4)
    _save(figure, path)


def _power(samples: np.ndarray) -> np.ndarray:
    """Compute the power of each bin and frame, (bins, frames), mean over channels.

    The ends are mirrored: a step to silence would be a click at every frequency.
    """
    frames = stft.N_FFT // stft.HOP
    rows = samples.reshape(-1, samples.shape[-1])
    mirrored = np.pad(rows, ((0, 0), (stft.N_FFT, stft.N_FFT)), mode="reflect")
    spectrum = stft.stft(mirrored)[..., frames:-frames]
    power: np.ndarray = np.square(np.abs(spectrum)).mean(axis=0)
    return power


def _by_frequency(cutoff: float, top: float) -> tuple[Figure, Axes]:
    """Open a figure with a horizontal axis of frequency in kHz, 0 to `top` Hz, and a line at the cutoff."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.axvline(cutoff, color="0.4", linewidth=1, linestyle="--", label=f"cutoff, {cutoff / 1000:g} kHz")
    _kilohertz(axis, "x")
    axis.set(xlabel="frequency (kHz)", xlim=(0, top))
    return figure, axis


def _kilohertz(axes: Axes, which: Literal["x", "y"]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MultipleLocator(2000))
    axis.set_major_formatter(FuncFormatter(lambda hertz, _: f"{hertz / 1000:g}"))


def _save(figure: Figure, path: str | Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
