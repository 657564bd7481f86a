"""Correct the added band by a reference: a full-band recording that sounds as the restored one should.

::

    reference ──► low-pass at the cutoff ──► restore ──┐
        │                                              ▼
        └────────────────────────────────────► error, band by band ──► times strength ──► gain curve

The error that the network makes on the reference is taken off what it adds to the input. Restoring keeps
the octave below the cutoff, so the error is relative to it, and neither recording's loudness matters. Above
the reference's end the network's band is all error, and so the added band ends there, too.

How much of the error is the same in the input depends on how alike the recordings are. Other seconds of one
recording share most of it; another track of the same artist may share nothing. That shows below the cutoff,
and the strength is taken from there, unless it is given: see `default_strength`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from overtone.audio import stft
from overtone.audio.bandwidth import music_end
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.formats import UNKNOWN
from overtone.models.network import Network
from overtone.restoration.files import decode
from overtone.restoration.stream.added_band import OFF, Band, Controls, GainCurve
from overtone.restoration.stream.analysis import Analysis, analyze, open_restorer
from overtone.restoration.stream.crossover import CROSSOVER_HZ, keep_low_band
from overtone.restoration.stream.limits import BLOCK
from overtone.restoration.stream.resampling import Resampler
from overtone.restoration.stream.spectral_balance import BalanceMeter, balance_distance

LEAST_SECONDS = 1.0
# Of a longer recording the middle is taken: restoring it takes 2 s.
MOST_SECONDS = 60.0
SILENT = 1e-4  # a peak of -80 dB
# The bands that the error is measured in. With 350, 700, 1000 and 1400 Hz, the seconds just before lower the
# LSD above 4 kHz by 14.6, 14.2, 14.0 and 13.6 %; 350 Hz draw curves that follow single notes.
BAND_HZ = 700.0
# What lies higher in a reference at 44.1 kHz is its resampler's or its codec's.
HIGHEST_HZ = 20_500.0
# A reference must reach so far above the cutoff to say anything.
LEAST_ABOVE_HZ = 500.0
# The error is the mean difference of log power over frames and bins, which the LSD is lowest for. With the
# difference of mean powers the LSD above the cutoff rises by 11 and 9 % (seconds just before; 4 and 8 kHz).
FLOOR = 1e-8
# Corrections are limited: with 6, 10 and 15 dB for raising, other seconds of a recording serve alike, and
# another track lowers the LSD above 4 kHz by 1.1, 0.8 and 0.6 %. Lowering by 40 dB gives 1 % less than by 25.
RAISE_DB, LOWER_DB = 10.0, 40.0
# The strength is 1 / (1 + (distance / 4 dB) ^ 2).
DISTANCE_DB = 4.0


class Recording(NamedTuple):
    """Hold a reference as it was read.

    Attributes:
        name: its file, or that it was in memory.
        samples: (channels, time) float32 at MODEL_RATE, 1 or 2 channels.
        end: where its music ends, in Hz.
        balance: as of `BalanceMeter.levels`.
    """

    name: str
    samples: np.ndarray
    end: float
    balance: np.ndarray


def open_reference(
    like: str | Path | np.ndarray | Recording | None, rate: int = MODEL_RATE
) -> Recording | None:
    """Read a reference, and at most MOST_SECONDS from its middle.

    Args:
        like: a file that `overtone.restoration.files.decode` reads, or (channels, time) float samples; what
            was read already, or nothing, comes back as it is.
        rate: of the samples in Hz; that of a file is its own.

    Raises:
        OvertoneError: it is no sound, too short, or silent.
    """
    if like is None or isinstance(like, Recording):
        return like
    if isinstance(like, np.ndarray):
        name, samples = "in memory", np.atleast_2d(like).astype(np.float32)
        first = max(0, (samples.shape[1] - round(MOST_SECONDS * rate)) // 2)
        samples = samples[:, first : first + round(MOST_SECONDS * rate)]
    else:
        name = str(like)
        samples, rate = _read_middle(Path(like))
    seconds = samples.shape[1] / rate
    if seconds < LEAST_SECONDS:
        raise OvertoneError(f"the reference {name} is {seconds:.2f} s long; {LEAST_SECONDS:g} s is the least")
    if not np.isfinite(samples).all():
        raise OvertoneError(f"the reference {name} holds NaN or infinity; repair it first")
    if len(samples) > 2:
        samples = samples.mean(axis=0, keepdims=True)
    samples = Resampler(rate, MODEL_RATE, len(samples))(np.ascontiguousarray(samples), True)
    if not np.abs(samples).max() > SILENT:
        raise OvertoneError(f"the reference {name} is silent")
    return Recording(name, samples, music_end(samples, MODEL_RATE), _balance(samples))


def _read_middle(path: Path) -> tuple[np.ndarray, int]:
    """Read the middle MOST_SECONDS of a file, (channels, time) float32, and its rate in Hz."""
    with decode.open_sound(path) as file:
        rate = file.samplerate
        most = round(MOST_SECONDS * rate)
        # A file of unknown length is read from its beginning.
        first = max(0, (file.frames - most) // 2) if file.frames < UNKNOWN else 0
        blocks, done = [], 0
        for block in file.blocks():
            own = block[:, max(0, first - done) : first + most - done]
            if own.size:
                blocks.append(own)
            done += block.shape[1]
            if done >= first + most:
                break
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.float32), rate


def _balance(samples: np.ndarray) -> np.ndarray:
    """Measure the balance of (channels, time) samples at MODEL_RATE."""
    meter = BalanceMeter(MODEL_RATE)
    meter.add(samples)
    return meter.levels()


def measure_error(recording: Recording, cutoff: float, net: Network) -> tuple[Band, ...]:
    """Measure by how much a network's restoration of a reference must be changed, band by band.

    Args:
        recording: the reference.
        cutoff: where the added band begins, in Hz.
        net: the network, on its device.

    Returns:
        Bands of about BAND_HZ from the cutoff on; what the reference has, less what the network makes.

    Raises:
        OvertoneError: the reference ends below the cutoff, or not far enough above it.
    """
    if recording.end < cutoff + LEAST_ABOVE_HZ:
        raise OvertoneError(
            f"the reference {recording.name} ends at {recording.end / 1000:.1f} kHz and says nothing of what "
            f"is missing above {cutoff / 1000:.1f} kHz; take one in full band"
        )
    # It ends where the added band begins, as the input does.
    degraded = keep_low_band(recording.samples, cutoff - CROSSOVER_HZ)
    restorer = open_restorer(analyze(degraded, MODEL_RATE, cutoff), net, MODEL_RATE)
    starts = range(0, degraded.shape[1], BLOCK)
    blocks = [restorer.process(degraded[:, start : start + BLOCK]) for start in starts]
    restored = np.concatenate([*blocks, restorer.flush()], axis=1)
    peak = np.abs(recording.samples).max()
    return _bands(_mean_difference(recording.samples / peak, restored / peak), cutoff)


def _mean_difference(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Average the difference of log power in dB over frames and channels, (bins of `stft.stft`,)."""
    total, count = np.zeros(stft.N_FFT // 2 + 1), 0
    for true, made in zip(*map(stft.stft_blocks, (original, restored)), strict=True):
        powers = [spectrum.real**2 + spectrum.imag**2 for spectrum in (true, made)]
        logs = [np.log10(np.maximum(power, FLOOR)) for power in powers]
        difference = logs[0] - logs[1]
        total += difference.sum(axis=(0, 2), dtype=np.float64)
        count += difference.shape[0] * difference.shape[2]
    mean: np.ndarray = 10 * total / count
    return mean


def _bands(difference: np.ndarray, cutoff: float) -> tuple[Band, ...]:
    """Average the bins of every band, but for the crossover's own fall, and limit the mean."""
    hertz = stft.frequencies(MODEL_RATE)
    count = max(1, round((HIGHEST_HZ - cutoff) / BAND_HZ))
    edges = np.linspace(cutoff, max(HIGHEST_HZ, cutoff + LEAST_ABOVE_HZ), count + 1)
    bands = []
    for low, high in itertools.pairwise(edges.tolist()):
        inside = (hertz >= max(low, cutoff + CROSSOVER_HZ)) & (hertz < high)
        mean = float(np.clip(difference[inside].mean(), -LOWER_DB, RAISE_DB))
        bands.append(Band(round(low, 1), round(high, 1), round(mean, 2)))
    return tuple(bands)


def default_strength(recording: Recording, balance: np.ndarray, cutoff: float) -> float:
    """Choose the share of a correction that helps, by how alike the recordings are below the cutoff.

    Args:
        recording: the reference.
        balance: of the input, as of `BalanceMeter.levels`.
        cutoff: in Hz.
    """
    return 1 / (1 + (balance_distance(recording.balance, balance, cutoff) / DISTANCE_DB) ** 2)


def gain_curve(
    analysis: Analysis, net: Network, controls: Controls, recording: Recording | None = None
) -> GainCurve | None:
    """Turn an input's controls and reference into the one gain curve of its added band.

    Args:
        analysis: of the input; with a reference and no strength, its balance is needed.
        net: the network, on its device.
        controls: the listener's.
        recording: the reference, if there is one.

    Returns:
        None where nothing is changed.

    Raises:
        OvertoneError: the top or the reference's end lies too low, or a strength is given for no reference.
    """
    if recording is None and controls.strength is not None:
        raise OvertoneError("a strength is of a reference's correction, and there is no reference: name one")
    start = analysis.start
    curve = GainCurve(start, controls)
    if recording is not None and controls.amount != OFF:
        strength = default_strength(recording, np.array(analysis.balance), start)
        curve = corrected_curve(start, controls, measure_error(recording, start, net), strength)
    return None if curve.flat else curve


def corrected_curve(start: float, controls: Controls, bands: Sequence[Band], strength: float) -> GainCurve:
    """Apply a reference's correction to a gain curve, at the strength of the controls.

    Args:
        start: where the added band begins, in Hz.
        controls: the listener's.
        bands: the correction at full strength.
        strength: where the controls have none.
    """
    strength = strength if controls.strength is None else controls.strength
    scaled = tuple(band._replace(decibels=round(band.decibels * strength, 2)) for band in bands)
    return GainCurve(start, replace(controls, strength=round(strength, 3)), scaled)
