"""Write excerpts of test tracks to listen to: data/examples/N_SYSTEM.flac."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from overtone.audio import soundfiles


def write(
    number: int, excerpts: Mapping[str, np.ndarray], shown: Sequence[str], rate: int, folder: Path
) -> None:
    """Write the versions of an excerpt: N_degraded.flac, N_restored.flac, N_original.flac, N_SYSTEM.flac.

    The first system is the restored version. A slash in a system's name is written as %2F.

    Args:
        number: N.
        excerpts: (channels, time): degraded, original, and outputs of systems, by name.
        shown: the systems to listen to, by name; the report draws the first.
        rate: in Hz.
        folder: of the files.
    """
    versions = {
        "degraded": excerpts["degraded"],
        "restored": excerpts[shown[0]],
        "original": excerpts["original"],
    }
    others = {quote(name, safe=" @~"): excerpts[name] for name in shown[1:]}
    for name, samples in (versions | others).items():
        soundfiles.write(folder / f"{number}_{name}.flac", samples, rate)
