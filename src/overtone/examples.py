"""Excerpts of test takes to look at and to listen to: ``plots/spectrograms`` and ``data/examples``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from overtone import audio, plots


def show(
    number: int, excerpts: Mapping[str, np.ndarray], shown: str, rate: int, cutoff: float, title: str
) -> dict[str, Tensor]:
    """Draw an excerpt as plots/spectrograms/N.png and write it as data/examples/N_*.flac.

    Args:
        number: N.
        excerpts: (channels, time): degraded, original, and what systems made, by name.
        shown: the system that is shown as restored.
        rate, cutoff: in Hz.
        title: of the picture.

    Returns:
        The three versions by name.
    """
    versions = {
        "degraded": excerpts["degraded"],
        "restored": excerpts[shown],
        "original": excerpts["original"],
    }
    for name, samples in versions.items():
        audio.write(Path(f"data/examples/{number}_{name}.flac"), samples, rate)
    found = {name: torch.from_numpy(samples) for name, samples in versions.items()}
    path = Path(f"plots/spectrograms/{number}.png")
    plots.spectrograms(found["degraded"], found["restored"], found["original"], rate, cutoff, title, path)
    return found
