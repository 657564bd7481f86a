"""Measure the seam: how far restored music is off around the cutoff, band by band, for several low-passes.

    python bench/seam.py FOLDER [FOLDER ...] > bench/results/seam.md

FOLDERs hold recordings to choose by, such as those of recipes/music_real.csv and music_first.csv. SECONDS of
the middle of COUNT files that reach 15 kHz, drawn with a fixed seed, are low-passed, restored as
`overtone restore` does (nothing is told, the cutoff is measured), and compared with themselves: the mean over
frames, channels and files of the difference of log power, in bands of 100 Hz from 500 Hz below the low-pass's
corner to 1 kHz above it. Some ten minutes on two cores.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from joblib import Parallel, delayed
from scipy import signal

from overtone.audio.bandwidth import measure_bandwidth
from overtone.restoration import restore_array

RATE, SECONDS, COUNT = 44100, 8, 24
CORNERS = (4000, 8000)
BAND, BELOW, ABOVE = 100, 500, 1000
FRAME = 4096
# The limit that the project sets for a band against the mean of its two neighbours, in dB.
LIMIT = 2.0
# Frames quieter than this, per bin, say nothing (16-bit noise lies at -121 dB).
LEAST_DB = -110.0


def _both_ways(sos: np.ndarray, sound: np.ndarray) -> np.ndarray:
    return signal.sosfiltfilt(sos, sound).astype(np.float32)


def _resampled(sound: np.ndarray, corner: int) -> np.ndarray:
    """Through a rate at which soxr is 3 dB down at the corner, and back."""
    low = round(corner / 0.946 * 2)
    there = soxr.resample(sound.T, RATE, low, quality="VHQ")
    return soxr.resample(there, low, RATE, quality="VHQ").T[:, : sound.shape[1]].astype(np.float32)


def filters() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Name the low-passes; each takes (channels, time) and a corner in Hz."""

    def butterworth(order: int) -> Callable[[np.ndarray, int], np.ndarray]:
        return lambda x, hz: _both_ways(signal.butter(order, hz, fs=RATE, output="sos"), x)

    return {
        "elliptic 10, both ways": lambda x, hz: _both_ways(
            signal.ellip(10, 0.05, 40, hz, fs=RATE, output="sos"), x
        ),
        "Chebyshev 12": lambda x, hz: signal.sosfilt(
            signal.cheby1(12, 0.1, hz, fs=RATE, output="sos"), x
        ).astype(np.float32),
        "resampler": _resampled,
        "Butterworth 12, both ways": butterworth(12),
        "Butterworth 8, both ways": butterworth(8),
    }


def levels(sound: np.ndarray) -> np.ndarray:
    """Log power in dB: (channels, time) to (frames, bins)."""
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    count = sound.shape[1] // FRAME
    spectrum = np.fft.rfft(sound[:, : count * FRAME].reshape(-1, FRAME) * window) * 2 / window.sum()
    return 10 * np.log10(spectrum.real**2 + spectrum.imag**2 + 1e-14)


def seam(original: np.ndarray, restored: np.ndarray, corner: float) -> np.ndarray:
    """Average the difference in bands of BAND from BELOW the corner to ABOVE it: (bands,) in dB."""
    true, made = levels(original), levels(restored)
    hertz = np.arange(true.shape[1]) * RATE / FRAME
    near = (hertz >= corner - BELOW) & (hertz < corner + ABOVE)
    sounds = true[:, near].mean(axis=1) > LEAST_DB
    number = ((hertz[near] - corner + BELOW) // BAND).astype(int)
    difference = (made - true)[:, near][sounds].mean(axis=0)
    return np.array([difference[number == band].mean() for band in range(number.max() + 1)])


def measure(path: Path) -> dict[tuple[str, int], np.ndarray] | None:
    """Measure one file's seams by filter and corner; None if it does not reach 15 kHz at RATE."""
    try:
        with soundfile.SoundFile(path) as file:
            length = SECONDS * file.samplerate
            if file.samplerate != RATE or file.frames < length:
                return None
            file.seek((file.frames - length) // 2)
            sound = np.ascontiguousarray(file.read(length, dtype="float32", always_2d=True).T[:2])
    except soundfile.LibsndfileError:
        return None
    if measure_bandwidth(sound, RATE) < 15000:
        return None
    # Quieter, so that the filters' overshoot clips nothing.
    sound *= np.float32(0.5)
    return {
        (name, corner): seam(sound, restore_array.restore(lowpass(sound, corner), RATE), corner)
        for name, lowpass in filters().items()
        for corner in CORNERS
    }


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    paths = [
        p for f in arguments.folders for p in sorted(f.rglob("*")) if p.suffix in (".ogg", ".flac", ".mp3")
    ]
    random.Random(0).shuffle(paths)
    found = [seams for seams in Parallel(2)(delayed(measure)(path) for path in paths[: 2 * COUNT]) if seams]
    found = found[:COUNT]
    starts = range(-BELOW, ABOVE, BAND)
    print("# The seam at the cutoff\n")
    print(f"{len(found)} recordings, {SECONDS} s each; restored minus original in dB, in bands of {BAND} Hz")
    print("that start so many Hz from the corner. Worst: the largest distance of a band from the mean of its")
    print(f"two neighbours; the limit is {LIMIT:g} dB.\n")
    print("| low-pass | corner | " + " | ".join(f"{start:+d}" for start in starts) + " | worst |")
    print("| --- | ---: |" + " ---: |" * (len(starts) + 1))
    for name, corner in found[0]:
        mean = np.mean([seams[name, corner] for seams in found], axis=0)
        worst = np.abs(mean[1:-1] - (mean[:-2] + mean[2:]) / 2).max()
        cells = [f"{value:+.1f}" for value in mean]
        print(f"| {name} | {corner} | " + " | ".join(cells) + f" | {worst:.1f} |")


if __name__ == "__main__":
    main()
