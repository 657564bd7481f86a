"""Steady noise, such as a tape's hiss, goes on above the cutoff as it is below.

Networks learn from music that has none, and take it for the tail of a note: of white noise under 4 kHz the
shipped one makes 10 dB too little in the first octave and 27 at 17 kHz, so that hiss comes and goes with the
music (docs/experiments.md, 70). So a floor of noise is looked for in the octave below the cutoff, and what is
missing of it above is added as noise::

    power   the quietest stretches that are many and alike are noise alone
      |~-~._.~-~._
      |            `-._            a straight line over log frequency that never rises goes on above
      |__________|_____`-._
        octave   cutoff

A stretch is 0.2 s. Under music its level comes out differently every time; of noise alone it is the same to
half a dB, as noise's statistics say, and its spectrum is flat from bin to bin. Digital silence is left out.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from overtone.restoration.stream.fifo import Fifo

# To the next power of two: 2048 samples at 44.1 kHz. A stretch is four frames that do not overlap.
FRAME_SECONDS = 0.046
PER_STRETCH = 4
# Stretches: 95 s without a gap; a longer signal is sampled ever more sparsely, in the same memory.
MOST = 512
BANDS_PER_OCTAVE = 9
# The narrowest band, in bins; of the octave below the cutoff, the fewest bands, and how far filters leave it.
LEAST_BINS, LEAST_BANDS, UNTOUCHED = 4, 4, 0.92
# Of a bin, where there is digital silence: of a frame of full-scale noise it is some 1000.
TINY = 1e-20
# The mean logarithm of noise's power lies so much under the logarithm of its mean, in dB: Euler's constant.
GEOMETRIC = 10 * 0.5772 / math.log(10)
# A bin's level in one frame of noise has this standard deviation in dB. Under a Hann window, of three
# neighbours two are independent.
DEVIATION, INDEPENDENT = 5.57, 2 / 3
# The levels of noise alone crowd within so many of their standard deviations. A crowd has so many stretches
# at least, and such a share; beside it there are half as many at most, and next to none is softer still.
CROWD, LEAST, SHARE, SOFTER = 2.4, 8, 0.03, 0.01
# How much less flat than noise they may be, in dB.
FLAT = 1.5
# The least density: that of white noise at -90 dB of full scale and 44.1 kHz. Nobody hears less.
FAINT = 1e-9 / 44100
# Samples of a frame that is filled, and from one to the next; bins over which what is there is averaged.
SIZE, HOP, NEIGHBOURS = 2048, 1024, 33


class NoiseFloor(NamedTuple):
    """A floor of noise, as it goes on above the cutoff.

    Attributes:
        cutoff: in Hz.
        density: its power there; white noise of variance v at a rate of r Hz has v / r.
        slope: dB per octave, 0 or less.
    """

    cutoff: float
    density: float
    slope: float

    def at(self, hertz: Tensor) -> Tensor:
        """Its density at frequencies in Hz."""
        decibels: Tensor = self.slope * (hertz / self.cutoff).log2()
        return self.density * 10 ** (decibels / 10)


class NoiseFloorMeter:
    """Finds the floors of noise of a signal that comes in blocks, in constant memory.

    Args:
        rate: in Hz.
        channels: of two, mid and side are measured: half of their sum, and of their difference.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self._channels = rate, channels
        frame = 2 ** round(math.log2(rate * FRAME_SECONDS))
        self._length = PER_STRETCH * frame
        lowest = LEAST_BINS / (2 ** (1 / BANDS_PER_OCTAVE) - 1)
        count = max(0, int(BANDS_PER_OCTAVE * math.log2(frame / 2 / lowest)))
        self._edges = np.round(lowest * 2 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)).astype(int)
        self._hertz = self._edges * rate / frame
        self._window = torch.hann_window(frame)
        self._scale = 10 * math.log10(float(self._window.square().sum()) * rate)
        # Of every stretch: (2, signals, bands), the mean of a band's levels and the level of its mean, in dB.
        self._stretches: list[np.ndarray] = []
        self._stride = 1
        self._skip = 0  # samples from here to the next stretch
        self._held = Fifo(channels)

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time) float32, any number of them; nobody may change them."""
        self._held.append(block)
        while True:
            self._skip -= self._held.take(self._skip).shape[1]
            # As many at once as there are: one by one they take three times as long.
            most = MOST - len(self._stretches) if self._stride == 1 else 1
            count = min(self._held.size // self._length, most)
            if self._skip or not count:
                return
            taken = self._held.take(count * self._length).reshape(self._channels, count, self._length)
            self._stretches += list(self._measure(taken))
            self._skip = (self._stride - 1) * self._length
            if len(self._stretches) == MOST:
                del self._stretches[1::2]
                self._stride *= 2

    def floors(self, cutoff: float) -> list[NoiseFloor | None]:
        """The floor below a cutoff in Hz of mid and side, or of every channel; None where there is none."""
        inside = (self._hertz[:-1] >= cutoff / 2) & (self._hertz[1:] <= UNTOUCHED * cutoff)
        if inside.sum() < LEAST_BANDS or not self._stretches:
            return [None] * self._channels
        levels = np.stack(self._stretches, axis=2)[..., inside]
        middles = np.sqrt(self._hertz[:-1] * self._hertz[1:])[inside]
        widths = np.diff(self._edges)[inside]
        return [_floor(mean, of_mean, middles, widths, cutoff) for mean, of_mean in zip(*levels, strict=True)]

    def _measure(self, samples: np.ndarray) -> np.ndarray:
        """The levels of stretches' bands: (channels, stretches, time) to (stretches, 2, signals, bands)."""
        signals = torch.from_numpy(np.ascontiguousarray(samples.swapaxes(0, 1)))
        if self._channels == 2:
            signals = torch.stack([signals[:, 0] + signals[:, 1], signals[:, 0] - signals[:, 1]], dim=1) / 2
        frames = signals.reshape(*signals.shape[:2], PER_STRETCH, -1) * self._window
        spectrum = torch.fft.rfft(frames)[..., : self._edges[-1]]
        power = spectrum.real.square() + spectrum.imag.square()
        silent = (power.amax(-1) < TINY).any(-1, keepdim=True)
        power = power.clamp_min(TINY)
        levels = torch.where(silent, -torch.inf, 10 * power.log10().mean(2))
        of_bins = torch.stack([levels, power.mean(2)], dim=1).numpy()
        bands: np.ndarray = np.add.reduceat(of_bins, self._edges[:-1], axis=-1) / np.diff(self._edges)
        bands[:, 1] = 10 * np.log10(bands[:, 1])
        return bands - self._scale


def _floor(
    mean: np.ndarray, of_mean: np.ndarray, middles: np.ndarray, widths: np.ndarray, cutoff: float
) -> NoiseFloor | None:
    """A signal's floor by its levels, (stretches, bands) in dB of full scale per Hz; None if it has none."""
    loudness = np.average(mean, axis=1, weights=widths)
    heard = np.sort(loudness[np.isfinite(loudness)])
    width = CROWD * DEVIATION / math.sqrt(widths.sum() * PER_STRETCH * INDEPENDENT)
    start = _lowest_cluster(heard, width)
    if start is None:
        return None
    noise = (loudness >= start) & (loudness < start + width)
    flatness = np.average((mean - of_mean)[noise] + GEOMETRIC, axis=1, weights=widths).mean()
    if flatness < -FLAT:
        return None
    octaves = np.log2(middles / cutoff)
    levels = mean[noise].mean(0) + GEOMETRIC
    slope, level = np.polyfit(octaves, levels, 1, w=np.sqrt(widths))
    if slope > 0:
        slope, level = 0.0, np.average(levels, weights=widths)
    density = float(10 ** (level / 10))
    return NoiseFloor(cutoff, density, float(slope)) if density >= FAINT else None


def _lowest_cluster(levels: np.ndarray, width: float) -> float | None:
    """Where the softest crowd of noise's begins among sorted levels in dB, so wide; None if there is none."""
    if not len(levels):
        return None

    def count(low: float, high: float) -> int:
        first, end = np.searchsorted(levels, (low, high))
        return int(end - first)

    best, most, step = None, 0, width / 4
    for start in np.arange(levels[0] - width / 2, levels[-1], step):
        if count(-np.inf, start - width / 2) > SOFTER * len(levels) + 1:
            break
        end = start + width
        crowd = count(start, end)
        beside = max(count(start - step - width, start - step), count(end + step, end + step + width))
        if crowd >= max(LEAST, SHARE * len(levels)) and crowd >= 2 * beside and crowd > most:
            best, most = float(start), crowd
    return best


class NoiseFill:
    """A stream of what a network made, with what is missing of a floor above the cutoff added as noise.

    The same however it is cut.

    Args:
        floor: at the samples' scale.
        cutoff: in Hz, from which on it is added.
        rate: of the samples, in Hz.
        seed: of the noise.
        device: where the samples are.
    """

    # How far the output lags behind at most, in samples.
    latency = SIZE

    def __init__(self, floor: NoiseFloor, cutoff: float, rate: int, seed: int, device: torch.device) -> None:
        hertz = torch.fft.rfftfreq(SIZE, 1 / rate)
        self._first = math.ceil(cutoff * SIZE / rate)
        self._power = (floor.at(hertz[self._first :]) * rate).to(device)
        self._window = torch.hann_window(SIZE, device=device)
        self._random = np.random.default_rng(seed)
        # Half of the first frame lies before the start, of what is made and of the noise.
        self._made = torch.zeros(1, 0, device=device)
        self._held = torch.zeros(HOP, device=device)
        self._noise = self._draw(HOP)
        # The second half of the last frame of noise.
        self._half = torch.zeros(0, HOP, device=device)

    def __call__(self, made: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples; give those that are ready, at the last call all."""
        self._made = torch.cat([self._made, made], dim=-1)
        self._held = torch.cat([self._held, made[0]])
        if last:
            hops = -(-self._made.shape[-1] // HOP) + 1 - len(self._half)
            self._held = nn.functional.pad(self._held, (0, max(0, (hops + 1) * HOP - len(self._held))))
        count = max(0, (len(self._held) - SIZE) // HOP + 1)
        if not count:
            return self._made[:, :0]
        self._noise = torch.cat([self._noise, self._draw(count * HOP)])
        gain = self._gain(self._frames(self._held, count))
        added = torch.fft.irfft(self._frames(self._noise, count) * gain, n=SIZE)
        self._held, self._noise = self._held[count * HOP :], self._noise[count * HOP :]
        second = torch.cat([self._half, added[:, HOP:]])
        self._half = second[-1:]
        ready = (second[:-1] + added[1 - len(second) :, :HOP] if len(second) > 1 else second[:0]).reshape(
            1, -1
        )
        out, self._made = self._made.tensor_split([ready.shape[-1]], dim=-1)
        return out + ready[:, : out.shape[-1]]

    def _draw(self, count: int) -> Tensor:
        """The next samples of white noise."""
        return torch.from_numpy(self._random.standard_normal(count, np.float32)).to(self._window.device)

    def _frames(self, samples: Tensor, count: int) -> Tensor:
        """The spectra of the first frames of (time,) samples, (frames, bins)."""
        spectrum: Tensor = torch.fft.rfft(samples[: (count + 1) * HOP].unfold(0, SIZE, HOP) * self._window)
        return spectrum

    def _gain(self, spectrum: Tensor) -> Tensor:
        """What noise of variance 1 is to be multiplied by in every frame and bin."""
        there = torch.view_as_real(spectrum[:, self._first :]).square().sum(-1) / self._window.square().sum()
        smooth = nn.functional.avg_pool1d(
            there[:, None], NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False
        )
        missing = (self._power - smooth[:, 0]).clamp_min(0).sqrt()
        return nn.functional.pad(missing, (self._first, 0))
