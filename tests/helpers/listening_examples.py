"""Synthetic examples for the tests of listening: each version is known by a tone of its own.

Every version holds the same glide from 400 Hz up by 400 Hz a second, so its pitch tells the position in
the music. Above it lies a tone that tells the version.
"""

import numpy as np
import soundfile

RATE, SECONDS = 44100, 3
TONES = {"degraded": 3000, "restored": 6000, "original": 9000, "stems": 12000}  # Hz


def write(folder, samples=3, systems=tuple(TONES)):
    """N_SYSTEM.flac for each of the samples and systems, each system at another level."""
    folder.mkdir(parents=True)
    time = np.arange(SECONDS * RATE) / RATE
    glide = np.sin(2 * np.pi * (400 * time + 200 * time**2))
    for sample in range(1, samples + 1):
        for number, system in enumerate(systems):
            tone = np.sin(2 * np.pi * TONES[system] * time)
            sound = 0.5 ** (number + 1) * (glide + 0.25 * tone) / (1 + 0.1 * sample)
            soundfile.write(folder / f"{sample}_{system}.flac", sound, RATE)
    return folder
