"""Find the floor of steady noise, such as a tape's, below the cutoff, and continue it above.

Networks learn from music without such noise, and treat it as the tail of a note: of white noise under 4 kHz
the shipped one predicts 10 dB too little in the first octave and 27 dB at 17 kHz, so that the noise above the
cutoff comes and goes with the music (docs/experiments.md, 70). So a noise floor is looked for in the octave
below the cutoff, and above the cutoff noise is added where the network's output lies below the floor::

    power   many quiet frame groups with nearly the same level are noise alone
      |~-~._.~-~._
      |            `-._            continued by a line over log frequency that never rises
      |__________|_____`-._
        octave   cutoff

A frame group is 0.2 s. Under music the level differs from group to group; of noise alone it is the same to
half a dB, as the statistics of noise say, and its spectrum is flat from bin to bin. Digital silence is left
out.
"""

import math
from typing import NamedTuple

import numpy as np

from overtone.core.arrays import hann_window, windowed_rfft
from overtone.core.rates import MODEL_RATE
from overtone.restoration.stream.framer import Framer

# To the next power of two: 2048 samples at 44.1 kHz. A group is four frames that do not overlap.
FRAME_SECONDS = 0.046
FRAMES_PER_GROUP = 4
# Groups: 95 s without a gap; a longer signal is sampled ever more sparsely, in the same memory.
MAX_GROUPS = 512
BANDS_PER_OCTAVE = 9
# The narrowest band, in bins; in the octave below the cutoff, the fewest bands, and the share of the cutoff
# up to which filters do not attenuate.
LEAST_BINS, LEAST_BANDS, PASSBAND = 4, 4, 0.92
# The power of a bin in digital silence; of a frame of full-scale noise it is some 1000.
TINY = 1e-20
# The mean logarithm of noise's power lies so much under the logarithm of its mean, in dB: Euler's constant.
GEOMETRIC = 10 * 0.5772 / math.log(10)
# A bin's level in one frame of noise has this standard deviation in dB. Under a Hann window, of three
# neighbours two are independent.
DEVIATION, INDEPENDENT = 5.57, 2 / 3
# The levels of noise alone form a cluster of so many of their standard deviations. A cluster has so many
# groups at least, and such a share of all; beside it there are half as many at most, and of groups quieter
# still there are next to none.
CLUSTER_WIDTH, LEAST_GROUPS, LEAST_SHARE, QUIETER_SHARE = 2.4, 8, 0.03, 0.01
# How much less flat than noise they may be, in dB.
FLATNESS_TOLERANCE = 1.5
# The least density: that of white noise at -90 dB of full scale and 44.1 kHz, which is inaudible.
LEAST_DENSITY = 1e-9 / MODEL_RATE
# Samples of a frame that is filled, and from one to the next; bins over which its power is averaged.
SIZE, HOP, SMOOTHING_BINS = 2048, 1024, 33


class NoiseFloor(NamedTuple):
    """A noise floor above the cutoff.

    Attributes:
        cutoff: in Hz.
        density: power per Hz there; white noise of variance v at a rate of r Hz has v / r.
        slope: in dB per octave, 0 or less.
    """

    cutoff: float
    density: float
    slope: float

    def at(self, hertz: np.ndarray) -> np.ndarray:
        """Return the density at frequencies in Hz."""
        decibels = self.slope * np.log2(hertz / self.cutoff)
        density: np.ndarray = self.density * 10 ** (decibels / 10)
        return density


class NoiseFloorMeter:
    """Finds the noise floors of a signal that comes in blocks, in constant memory.

    Args:
        rate: in Hz.
        channels: of two, mid and side are measured: half of their sum, and of their difference.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self._channels = rate, channels
        frame = 2 ** round(math.log2(rate * FRAME_SECONDS))
        lowest = LEAST_BINS / (2 ** (1 / BANDS_PER_OCTAVE) - 1)
        count = max(0, int(BANDS_PER_OCTAVE * math.log2(frame / 2 / lowest)))
        self._edges = np.round(lowest * 2 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)).astype(int)
        self._hertz = self._edges * rate / frame
        self._window = hann_window(frame)
        self._scale = 10 * math.log10(float((self._window**2).sum()) * rate)
        self._framer = Framer(FRAMES_PER_GROUP * frame, FRAMES_PER_GROUP * frame)
        # Of every group: (2, signals, bands), the mean of a band's levels and the level of its mean, in dB.
        self._groups: list[np.ndarray] = []
        # Of the signal's groups, every so many is measured; and how many there were.
        self._stride, self._seen = 1, 0

    def add(self, block: np.ndarray) -> None:
        """Measure the next samples, (channels, time) float32, any number of them."""
        groups = self._framer(block)
        while groups.shape[1]:
            # As many at once as there are: measured one by one, they take three times as long.
            room = (MAX_GROUPS - len(self._groups)) * self._stride
            chosen = groups[:, :room][:, -self._seen % self._stride :: self._stride]
            if chosen.shape[1]:
                self._groups += list(self._measure(chosen))
            self._seen += min(room, groups.shape[1])
            groups = groups[:, room:]
            if len(self._groups) == MAX_GROUPS:
                del self._groups[1::2]
                self._stride *= 2

    def floors(self, cutoff: float) -> list[NoiseFloor | None]:
        """Find the floor below a cutoff in Hz of mid and side, or of every channel; None for none."""
        inside = (self._hertz[:-1] >= cutoff / 2) & (self._hertz[1:] <= PASSBAND * cutoff)
        if inside.sum() < LEAST_BANDS or not self._groups:
            return [None] * self._channels
        levels = np.stack(self._groups, axis=2)[..., inside]
        middles = np.sqrt(self._hertz[:-1] * self._hertz[1:])[inside]
        widths = np.diff(self._edges)[inside]
        return [_floor(mean, of_mean, middles, widths, cutoff) for mean, of_mean in zip(*levels, strict=True)]

    def _measure(self, groups: np.ndarray) -> np.ndarray:
        """Measure the levels of groups' bands: (channels, groups, time) to (groups, 2, signals, bands)."""
        signals = groups.swapaxes(0, 1)
        if self._channels == 2:
            signals = np.stack([signals[:, 0] + signals[:, 1], signals[:, 0] - signals[:, 1]], axis=1) / 2
        frames = signals.reshape(*signals.shape[:2], FRAMES_PER_GROUP, -1)
        spectrum = windowed_rfft(frames, self._window)[..., : self._edges[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        silent = (power.max(axis=-1) < TINY).any(axis=-1, keepdims=True)
        power = np.maximum(power, np.float32(TINY))
        levels = np.where(silent, -np.inf, 10 * np.log10(power).mean(axis=2))
        of_bins = np.stack([levels, power.mean(axis=2)], axis=1)
        bands: np.ndarray = np.add.reduceat(of_bins, self._edges[:-1], axis=-1) / np.diff(self._edges)
        bands[:, 1] = 10 * np.log10(bands[:, 1])
        return bands - self._scale


def _floor(
    mean: np.ndarray, of_mean: np.ndarray, middles: np.ndarray, widths: np.ndarray, cutoff: float
) -> NoiseFloor | None:
    """Find the noise floor of one signal; None if it has none.

    Args:
        mean: the mean levels of bands' bins, (groups, bands), in dB of full scale per Hz.
        of_mean: the levels of bands' mean power, likewise.
        middles: of the bands, in Hz.
        widths: of the bands, in bins.
        cutoff: in Hz.
    """
    loudness = np.average(mean, axis=1, weights=widths)
    audible = np.sort(loudness[np.isfinite(loudness)])
    width = CLUSTER_WIDTH * DEVIATION / math.sqrt(widths.sum() * FRAMES_PER_GROUP * INDEPENDENT)
    start = _lowest_cluster(audible, width)
    if start is None:
        return None
    noise = (loudness >= start) & (loudness < start + width)
    flatness = np.average((mean - of_mean)[noise] + GEOMETRIC, axis=1, weights=widths).mean()
    if flatness < -FLATNESS_TOLERANCE:
        return None
    octaves = np.log2(middles / cutoff)
    levels = mean[noise].mean(0) + GEOMETRIC
    slope, level = np.polyfit(octaves, levels, 1, w=np.sqrt(widths))
    if slope > 0:
        slope, level = 0.0, np.average(levels, weights=widths)
    density = float(10 ** (level / 10))
    return NoiseFloor(cutoff, density, float(slope)) if density >= LEAST_DENSITY else None


def _lowest_cluster(levels: np.ndarray, width: float) -> float | None:
    """Find the level where the quietest cluster of noise alone begins, among sorted ones in dB, if any."""
    if not len(levels):
        return None

    def count(low: float, high: float) -> int:
        first, end = np.searchsorted(levels, (low, high))
        return int(end - first)

    best, most, step = None, 0, width / 4
    for start in np.arange(levels[0] - width / 2, levels[-1], step):
        if count(-np.inf, start - width / 2) > QUIETER_SHARE * len(levels) + 1:
            break
        end = start + width
        size = count(start, end)
        beside = max(count(start - step - width, start - step), count(end + step, end + step + width))
        if size >= max(LEAST_GROUPS, LEAST_SHARE * len(levels)) and size >= 2 * beside and size > most:
            best, most = float(start), size
    return best


class NoiseFill:
    """Adds noise to a network's output, as a stream, where it lies below a noise floor above the cutoff.

    The noise does not depend on the stream's blocks.

    Args:
        floor: at the samples' scale.
        cutoff: in Hz, above which noise is added.
        rate: of the samples, in Hz.
        seed: of the noise.
    """

    # How many samples the output lags behind at most.
    latency = SIZE

    def __init__(self, floor: NoiseFloor, cutoff: float, rate: int, seed: int) -> None:
        hertz = np.fft.rfftfreq(SIZE, 1 / rate)
        self._first = math.ceil(cutoff * SIZE / rate)
        self._power = (floor.at(hertz[self._first :]) * rate).astype(np.float32)
        self._window = hann_window(SIZE)
        self._random = np.random.default_rng(seed)
        # Samples that noise is still to be added to.
        self._waiting = np.zeros((1, 0), np.float32)
        # Frame by frame, the samples and white noise. Half of the first frame lies before the start.
        self._framer, self._noise_framer = Framer(SIZE, HOP, padding=HOP), Framer(SIZE, HOP)
        self._noise_framer(self._draw(HOP))
        # The second half of the last frame of shaped noise.
        self._tail = np.zeros((0, HOP), np.float32)

    def __call__(self, samples: np.ndarray, present: np.ndarray, last: bool) -> np.ndarray:
        """Take samples to fill, and what lies above the cutoff already, both (1, time), and fill.

        Returns:
            (1, time): as many of the samples as are done, at the last call all.
        """
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        frames = self._framer(present, last)[0]
        count = len(frames)
        if not count:
            return self._waiting[:, :0]
        noise = self._noise_framer(self._draw(count * HOP))[0]
        shaped = self._spectrum(noise)[:, self._first :] * self._gain(self._spectrum(frames))
        shaped = np.fft.irfft(np.pad(shaped, ((0, 0), (self._first, 0))), n=SIZE)
        seconds = np.concatenate([self._tail, shaped[:, HOP:]])
        self._tail = seconds[-1:]
        # A hop is the second half of one frame and the first of the next; before the first frame is none.
        hops = len(seconds) - 1
        added = (seconds[:hops] + shaped[count - hops :, :HOP]).reshape(1, -1)
        out, self._waiting = np.split(self._waiting, [added.shape[1]], axis=1)
        filled: np.ndarray = out + added[:, : out.shape[1]]
        return filled

    def _draw(self, count: int) -> np.ndarray:
        """Draw the next samples of white noise, (1, count)."""
        return self._random.standard_normal((1, count), np.float32)

    def _spectrum(self, frames: np.ndarray) -> np.ndarray:
        """Compute the spectra of windowed frames: (frames, SIZE) to (frames, bins)."""
        spectrum: np.ndarray = windowed_rfft(frames, self._window)
        return spectrum

    def _gain(self, spectrum: np.ndarray) -> np.ndarray:
        """Compute the gains by frame and bin above the cutoff that bring white noise to what is missing."""
        above = spectrum[:, self._first :]
        present = (above.real**2 + above.imag**2) / (self._window**2).sum()
        # The mean of neighbours, of those that there are at the ends, as a difference of sums.
        half, count = SMOOTHING_BINS // 2, present.shape[1]
        sums = np.pad(np.cumsum(present, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
        first = np.maximum(np.arange(count) - half, 0)
        end = np.minimum(np.arange(count) + half + 1, count)
        smooth = (sums[:, end] - sums[:, first]) / (end - first)
        gain: np.ndarray = np.sqrt(np.maximum(self._power - smooth, 0)).astype(np.float32)
        return gain
