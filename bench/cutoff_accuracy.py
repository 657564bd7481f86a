"""Compare the cutoff found with the true one: the bundled clips, low-passed and coded in many ways.

    python bench/cutoff_accuracy.py > bench/results/cutoff_accuracy.md

Some five minutes on two cores. The meter was tuned on 32 Ogg Vorbis tracks, of which some are
the clips' own sources, and its treatment of clipping on these clips: the figures flatter it a little.
The true cutoff of a condition is where its own response is 3 dB down: measured with a sweep.
"""

import io
import math
import os
import platform
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from joblib import Parallel, delayed
from scipy import signal
from torchaudio import functional

from overtone.audio.cutoff import FULL_BAND_HZ, Cutoff, SpectrumMeter
from overtone.training.codecs import round_trip

BUNDLE = Path(__file__).parents[1] / "data/bundle/fma_mini.zip"
CUTOFFS = (3000, 4000, 5500, 8000, 11000, 14000)
SECONDS = 20  # from the fifth second of each clip on
TOLERANCE, TOLERANCE_HZ = 0.05, 200

Damage = Callable[[np.ndarray, int], tuple[np.ndarray, int]]


def resampled(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """(channels, time) at another rate in Hz."""
    return soxr.resample(samples.T, rate, to_rate, quality="VHQ").T


def through(rate: int) -> Damage:
    """Down to a low rate in Hz and back."""
    return lambda samples, own: (resampled(resampled(samples, own, rate), rate, own), own)


def there_and_back(resample: Callable[[np.ndarray, int, int], np.ndarray], rate: int) -> Damage:
    """Down to a low rate in Hz and back by a resampler of samples, their rate and the one asked for."""
    return lambda samples, own: (resample(resample(samples, own, rate), rate, own), own)


def as_ffmpeg_does(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """By filters as swresample has them by default, to 0.1 dB.

    Kaiser windows with beta 9 over 32 samples of the lower rate; on the way down the corner is at 97 % of its
    Nyquist frequency, on the way back at all of it.
    """
    part = math.gcd(rate, to_rate)
    up, down = to_rate // part, rate // part
    corner = 0.97 if to_rate < rate else 1.0
    length = 2 * int(16 / corner * max(up, down)) + 1
    taps = signal.firwin(length, corner / max(up, down), window=("kaiser", 9))
    return signal.resample_poly(samples, up, down, axis=1, window=taps).astype(np.float32)


def as_torchaudio_does(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """By torchaudio, with its defaults."""
    return functional.resample(torch.from_numpy(samples.copy()), rate, to_rate).numpy()


def as_scipy_does(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """By SciPy's polyphase filter, with its defaults."""
    part = math.gcd(rate, to_rate)
    return signal.resample_poly(samples, to_rate // part, rate // part, axis=1).astype(np.float32)


def filtered(design: Callable[[int], np.ndarray]) -> Damage:
    """A filter, given as second-order sections for a rate in Hz."""
    return lambda samples, rate: (signal.sosfilt(design(rate), samples).astype(np.float32), rate)


def at_rate(to_rate: int, first: Damage | None = None) -> Damage:
    """Converted to a rate in Hz, and left there."""

    def damage(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        if first:
            samples, rate = first(samples, rate)
        return resampled(samples, rate, to_rate), to_rate

    return damage


def quantised(bits: int, first: Damage | None = None) -> Damage:
    """Rounded to a number of bits, with dither."""

    def damage(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        if first:
            samples, rate = first(samples, rate)
        steps = 2 ** (bits - 1) - 1
        dither = np.random.default_rng(0).uniform(-0.5, 0.5, samples.shape)
        return (np.round(np.clip(samples, -1, 1) * steps + dither) / steps).astype(np.float32), rate

    return damage


def coded(kind: str, level: float, subtype: str | None = None) -> Damage:
    """Written and read by libsndfile; Opus takes 48 kHz only."""

    def damage(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
        if subtype == "OPUS" and rate != 48000:
            samples, rate = resampled(samples, rate, 48000), 48000
        mode = "CONSTANT" if kind == "MP3" else None
        asked = {"format": kind, "subtype": subtype, "compression_level": level, "bitrate_mode": mode}
        return round_trip(np.clip(samples, -1, 1).T, rate, **asked).T, rate

    return damage


def cookbook_biquad(rate: int) -> np.ndarray:
    """The paper's low-pass at 4.8 kHz, as the Audio EQ Cookbook has it."""
    angle = 2 * np.pi * 4800 / rate
    alpha, edge = np.sin(angle) / (2 * 0.707), 1 - np.cos(angle)
    row = np.array([edge / 2, edge, edge / 2, 1 + alpha, -2 * np.cos(angle), 1 - alpha])
    return (row / row[3])[None]


def biquad_on_cliff(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """The paper's damage: through 16 kHz, then the second-order low-pass."""
    return filtered(cookbook_biquad)(*through(16000)(samples, rate))


def conditions() -> Iterator[tuple[str, Damage, Damage | None]]:
    """Its name, the damage, and the part of it whose response is the truth (None: nothing is cut)."""
    yield "original", lambda samples, rate: (samples, rate), None
    for hz in CUTOFFS:
        sinc = through(2 * hz)
        butterworth = filtered(lambda rate, hz=hz: signal.butter(8, hz, fs=rate, output="sos"))
        chebyshev = filtered(lambda rate, hz=hz: signal.cheby1(12, 0.05, hz, fs=rate, output="sos"))
        elliptic = filtered(lambda rate, hz=hz: signal.ellip(8, 0.05, 80, hz, fs=rate, output="sos"))
        yield "sinc", sinc, sinc
        yield "Chebyshev 12", chebyshev, chebyshev
        yield "elliptic 8", elliptic, elliptic
        yield f"Butterworth 8, {'up to 5.5' if hz < 8000 else '8 and more'} kHz", butterworth, butterworth
        yield "sinc, then 16 bits", quantised(16, sinc), sinc
        yield f"sinc, then 8 bits, {'up to 8' if hz < 11000 else '11 and 14'} kHz", quantised(8, sinc), sinc
    yield "biquad 4.8 kHz on sinc 8 kHz", biquad_on_cliff, through(16000)
    for rate in (8000, 16000, 22050, 32000):
        yield f"rate {rate}", at_rate(rate), at_rate(rate)
    short = {"FFmpeg": as_ffmpeg_does, "torchaudio": as_torchaudio_does, "SciPy": as_scipy_does}
    for name, resample in short.items():
        for rate in (8000, 16000, 22050):
            damage = there_and_back(resample, rate)
            yield f"8, 16 and 22 kHz by {name} and back", damage, damage
    yield "sinc 8 kHz at 48000", at_rate(48000, through(16000)), through(16000)
    yield "sinc 8 kHz at 96000", at_rate(96000, through(16000)), through(16000)
    for kbit in (64, 96):
        mp3 = coded("MP3", (320 - kbit) / 288)  # libsndfile maps 0 to 1 onto 320 to 32 kbit/s
        yield f"MP3 {kbit} kbit/s", mp3, mp3
    vorbis = coded("OGG", 1.0, "VORBIS")
    yield "Vorbis, lowest quality", vorbis, vorbis
    yield "MP3 128 kbit/s", coded("MP3", (320 - 128) / 288), None
    yield "Vorbis, next to lowest", coded("OGG", 0.9, "VORBIS"), None
    yield "Opus, 20 kbit/s", coded("OGG", 0.93, "OPUS"), None
    yield "original at 48000", at_rate(48000), None
    yield "original at 96000", at_rate(96000), None
    yield "original in 8 bits", quantised(8), None


def truth(response: Damage, channels: int) -> float:
    """Where a damage of sound at 44.1 kHz is 3 dB down, in Hz.

    Measured with a sweep, whose every frequency a codec can afford; the encoder's own low-pass
    depends on the number of channels.
    """
    time_ = np.arange(20 * 44100) / 44100
    sweep = 0.3 * np.sin(np.pi * 22050 / 20 * time_**2).astype(np.float32)
    out, rate = response(np.tile(sweep, (channels, 1)), 44100)
    frequency, power = signal.welch(out[0], rate, nperseg=2048)
    passed = np.median(power[(frequency > 500) & (frequency < 2500)])
    return float(frequency[np.flatnonzero(power > passed / 2)[-1]])


def clips() -> list[tuple[np.ndarray, int]]:
    """Each bundled clip's samples (channels, time) and rate in Hz."""
    with zipfile.ZipFile(BUNDLE) as archive:
        found = []
        for name in sorted(n for n in archive.namelist() if n.endswith(".mp3")):
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32", always_2d=True)
            found.append((samples[5 * rate : (5 + SECONDS) * rate].T, rate))
    return found


def measure(samples: np.ndarray, rate: int) -> list[Cutoff]:
    """The cutoff found in one clip under every condition."""
    found = []
    for _, damage, _ in conditions():
        out, out_rate = damage(samples, rate)
        meter = SpectrumMeter(out_rate)
        meter.add(out)
        found.append(meter.cutoff())
    return found


def speed() -> float:
    """Seconds of 44.1 kHz stereo per second, on one core."""
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 180 * 44100)).astype(np.float32)
    meter, start = SpectrumMeter(44100), time.process_time()
    for at in range(0, sound.shape[1], 65536):
        meter.add(sound[:, at : at + 65536])
    meter.cutoff()
    return 180 / (time.process_time() - start)


def mean(values: list[float]) -> str:
    """Two digits, or a dash for nothing."""
    return f"{np.mean(values):.2f}" if values else "-"


def report_limited(name: str, true: list[float], found: list[Cutoff]) -> tuple[int, int]:
    """Print a row; return how many are right and how many there are."""
    error = np.array([abs(c.hz - hz) for c, hz in zip(found, true, strict=True)])
    relative = error / np.array(true)
    right = error <= np.maximum(TOLERANCE * np.array(true), TOLERANCE_HZ)
    sure = [c.confidence for c in found]
    print(
        f"| {name} | {len(found)} | {100 * right.mean():.1f} % "
        f"| {100 * (relative <= 2 * TOLERANCE).mean():.1f} % "
        f"| {100 * np.median(relative):.1f} % | {100 * np.percentile(relative, 90):.1f} % "
        f"| {100 * np.mean([c.full_band for c in found]):.1f} % "
        f"| {mean([s for s, r in zip(sure, right, strict=True) if r])} "
        f"| {mean([s for s, r in zip(sure, right, strict=True) if not r])} |"
    )
    return int(right.sum()), len(right)


def main() -> None:
    """Print the report as Markdown."""
    names = [name for name, *_ in conditions()]
    truths = [{n: truth(r, n) for n in (1, 2)} if r else None for _, _, r in conditions()]
    sounds = clips()
    per_clip = Parallel(-1)(delayed(measure)(*sound) for sound in sounds)
    rows: dict[str, tuple[list[float], list[Cutoff]]] = {}
    whole: dict[str, list[Cutoff]] = {}
    for index, (name, hz) in enumerate(zip(names, truths, strict=True)):
        found = [cutoffs[index] for cutoffs in per_clip]
        if hz is None:
            whole[name] = found
        else:
            known, all_found = rows.setdefault(name, ([], []))
            known += [hz[len(samples)] for samples, _ in sounds]
            all_found += found
    print("# How well the cutoff is found\n")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}.")
    print(f"{len(per_clip)} bundled clips, {SECONDS} s of each; `python bench/cutoff_accuracy.py`.\n")
    print(f"Speed: {speed():.0f} times real time (stereo, 44.1 kHz, one core, three minutes).\n")
    print("## Band-limited\n")
    print(f"Right: within {100 * TOLERANCE:.0f} % or {TOLERANCE_HZ} Hz of where the damage is 3 dB down.\n")
    print(
        "| condition | cases | right | within 10 % | median error | 90th percentile | called full band",
        end=" ",
    )
    print("| confidence when right | when wrong |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    counts = {name: report_limited(name, *row) for name, row in rows.items()}
    steep = [c for n, c in counts.items() if n in ("sinc", "Chebyshev 12", "elliptic 8") or n[:4] == "Butt"]
    right, cases = np.sum(steep, axis=0)
    print(f"\nSinc, Chebyshev, elliptic and Butterworth together: {100 * right / cases:.1f} % of {cases}.\n")
    print(f"## Full band\n\nFull band is what reaches {FULL_BAND_HZ:.0f} Hz.\n")
    print("| condition | cases | said to be full band | said to be limited, confidence > 0.5", end=" ")
    print("| lowest found, in Hz |\n| --- | --- | --- | --- | --- |")
    for name, found in whole.items():
        limited = sum(not c.full_band and c.confidence > 0.5 for c in found)
        print(f"| {name} | {len(found)} | {sum(c.full_band for c in found)} | {limited}", end=" ")
        print(f"| {min(c.hz for c in found):.0f} |")


if __name__ == "__main__":
    main()
