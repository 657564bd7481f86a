"""Excerpts of test takes to look at and to listen to: ``plots/spectrograms`` and ``data/examples``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from overtone import audio, plots


def show(
    number: int,
    excerpts: Mapping[str, np.ndarray],
    shown: Sequence[str],
    rate: int,
    cutoff: float,
    title: str,
) -> dict[str, Tensor]:
    """Draw an excerpt as plots/spectrograms/N.png and write it as data/examples/N_*.flac.

    The first system is N_restored.flac, any other N_SYSTEM.flac, a slash in its name as %2F.

    Args:
        number: N.
        excerpts: (channels, time): degraded, original, and what systems made, by name.
        shown: the systems to listen to; the first is drawn.
        rate, cutoff: in Hz.
        title: of the picture.

    Returns:
        The three versions that are drawn, by name.
    """
    versions = {
        "degraded": excerpts["degraded"],
        "restored": excerpts[shown[0]],
        "original": excerpts["original"],
    }
    others = {quote(name, safe=" @~"): excerpts[name] for name in shown[1:]}
    for name, samples in (versions | others).items():
        audio.write(Path(f"data/examples/{number}_{name}.flac"), samples, rate)
    found = {name: torch.from_numpy(samples) for name, samples in versions.items()}
    path = Path(f"plots/spectrograms/{number}.png")
    plots.spectrograms(found["degraded"], found["restored"], found["original"], rate, cutoff, title, path)
    return found
