"""Detect the cutoff frequency of a signal, with a confidence, from its samples.

The level of each frame is measured in narrow bands, 48 to the octave. The 90th percentile of each band over
the frames gives one curve over frequency: a percentile, because rare clicks reach up to the Nyquist frequency
and because a codec leaves holes. Tones narrower than the partials of music are removed from the curve; a
level at its end that is even and constant is a noise floor.

                level in dB
                -------.__                     a cliff drops within a sixth of an octave: a resampler,
                          `-.                  a codec, the rate itself
                      knee   \\                a steep filter takes an octave or two, and counts
                              \\               when it has fallen far
                               `-----------    the floor; beyond the Nyquist frequency there is nothing
                                 frequency

The cutoff is the lowest fall above which the curve does not rise again (`overtone.audio.falls`). Its
frequency is the knee of a low-pass fitted to the curve (`overtone.audio.knee`). A gentle filter below a cliff
therefore counts as part of the music: of a 12 dB-per-octave low-pass at 4.8 kHz on a signal sampled at 16
kHz, the cliff near 8 kHz is reported. Between the two the high band is quiet; above the cliff it is missing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.audio.falls import BANDS_BEFORE, falls_on, find_falls
from overtone.audio.knee import fit_knee
from overtone.audio.resampler_losses import COMMON, FREQUENCIES, RATES, half_power
from overtone.audio.rolloff import Rolloff, fit_rolloff

# Telephones reach 3.4 kHz. Below this a tone or a bass looks like a band limit.
LOWEST_HZ = 2_000.0
# A cutoff at or above FULL_BAND_HZ leaves nothing to restore: MP3 at 128 kbit/s measures 15.8 to 16.4 kHz (30
# tracks of 32; two with a quiet high band stop lower). From LEAST_FULL_HZ on, neither does one above which
# sound goes on to REACHED_HZ: codecs' cliffs lie there, with what they keep in some frames above them, or end
# there (MP3 at 96 kbit/s). Of 275 recordings that reach 15 kHz, 91 had such a cutoff.
FULL_BAND_HZ, LEAST_FULL_HZ, REACHED_HZ = 15_500.0, 13_000.0, 15_000.0
# Sound counts in this percentile of the frames, if it is 12 dB over 16-bit rounding and a floor of noise.
RARE_PERCENTILE, AUDIBLE_DB, OVER_FLOOR_DB = 97, -109.0, 12.0
# 1/48 octave is one bin of the transform where the bands begin, at 0.75 kHz for a rate of 44.1 kHz.
BANDS_PER_OCTAVE = 48
FIRST_BIN = 70
BANDS_BEYOND = 64  # after the Nyquist frequency
FRAME_SECONDS = 0.093  # to the next power of two: 4096 samples at 44.1 kHz
FRAMES = 256  # 24 s without a gap; a longer signal is sampled more sparsely, in the same memory
SILENCE_DB = -100.0  # of full scale, per bin, where rounding to 16 bits leaves -121
RANGE_DB = 100.0  # below the loudest band, where a codec's and float32's own noise begins
ACTIVE_DB = 30.0  # frames further below the loud ones are pauses and fades
PERCENTILE = 90
# A floor's levels spread over time as noise's must: 2 to 4 dB, music's 10 to 30 (four tracks, 8 bits).
FLOOR_SPREAD = 1.8
RATE_EDGE = 0.93  # of the Nyquist frequency: resamplers begin to fall at 91 to 95 %
TINY = 1e-16  # the power of a bin in digital silence
SURE = 0.5  # a cutoff found with less confidence may be where the music itself ends
SURE_FRAMES = 10  # about a second of sound; with less of it, confidence falls


@dataclass(frozen=True)
class Cutoff:
    """Describe where a spectrum ends, and how surely.

    Attributes:
        hz: the frequency in Hz where the spectrum is 3 dB down.
        confidence: how surely a band limit ends the spectrum there, 0 to 1. Below SURE the music itself may
            be quiet above it, and nothing should be restored unless a person asks for it.
        full_band: the spectrum reaches FULL_BAND_HZ, or sound goes on to REACHED_HZ above a cutoff not far
            below it; there is nothing to restore.
        kind: ``full band``; ``sample rate``, ``cliff`` or ``steep filter`` as what ends it; ``slope``
            where the music fades into the noise floor; ``silence`` where there is no sound.
    """

    hz: float
    confidence: float
    full_band: bool
    kind: str


class SpectrumMeter:
    """Detect the cutoff of a signal that arrives in blocks, in constant memory.

    The result does not depend on how the signal is cut into blocks.

    Example:
        >>> noise = np.random.default_rng(0).normal(0, 0.1, (1, 44100)).astype(np.float32)
        >>> meter = SpectrumMeter(8000)
        >>> meter.add(noise)
        >>> meter.cutoff().kind
        'sample rate'
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.frame = 2 ** round(math.log2(rate * FRAME_SECONDS))
        count = int(BANDS_PER_OCTAVE * math.log2(self.frame / 2 / FIRST_BIN))
        self._edges = np.round(FIRST_BIN * 2 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)).astype(int)
        self._widths = np.diff(self._edges)
        self._window = hann(self.frame)
        self._levels: list[np.ndarray] = []
        self._bins: list[np.ndarray] = []  # of the same frames, every bin's level: 1 MB at 44.1 kHz
        self._hop = self.frame
        self._skip = 0  # samples before the next frame begins
        self._held = np.empty((0, self.frame), dtype=np.float32)
        self._filled = 0

    def add(self, block: np.ndarray) -> None:
        """Add the next samples, (channels, time) float32, any number of them."""
        if not len(self._held):
            self._held = np.empty((len(block), self.frame), dtype=np.float32)
        at, length = 0, block.shape[1]
        while at < length:
            if self._skip:
                step = min(self._skip, length - at)
                self._skip -= step
            else:
                step = min(self.frame - self._filled, length - at)
                self._held[:, self._filled : self._filled + step] = block[:, at : at + step]
                self._filled += step
                if self._filled == self.frame:
                    self._end_frame()
            at += step

    def cutoff(self) -> Cutoff:
        """Detect the cutoff of all samples so far."""
        levels = self._levels
        if not levels and self._filled:
            levels = [self._measure(self._held[:, : self._filled])]
        if not levels or max(map(np.max, levels)) < SILENCE_DB:
            return Cutoff(self.rate / 2, 0.0, False, "silence")
        return self._detect(np.stack(levels))

    def rolloff(self, cutoff: float) -> Rolloff | None:
        """Measure how a low-pass falls around a cutoff in Hz; None if none does."""
        if not self._levels:
            return None
        levels, width = np.stack(self._levels), self.rate / self.frame
        first, end = np.searchsorted(self._edges, (cutoff / 2 / width, cutoff / width))
        octave = levels[:, first:end].mean(axis=1) if end > first else levels.max(axis=1)
        active = octave >= max(np.percentile(octave, 95) - ACTIVE_DB, SILENCE_DB)
        bins = [frame for frame, sounds in zip(self._bins, active, strict=True) if sounds]
        return fit_rolloff(np.array(bins, np.float32).mean(axis=0), width, cutoff) if bins else None

    def _end_frame(self) -> None:
        """Store the frame's levels; when the memory is full, drop every second frame and double the hop."""
        power = bin_powers(self._held, self._window, self.frame)
        self._levels.append(_band_means(power, self._edges))
        self._bins.append((10 * np.log10(power + TINY)).astype(np.float16))
        self._filled = 0
        self._skip = self._hop - self.frame
        if len(self._levels) == FRAMES:
            del self._levels[1::2], self._bins[1::2]
            self._hop *= 2

    def _measure(self, samples: np.ndarray) -> np.ndarray:
        """Measure levels in dB of full scale per bin, (bands,), of up to one frame (channels, time)."""
        length = samples.shape[1]
        window = self._window if length == self.frame else hann(length)
        return band_levels(samples, window, self._edges, self.frame)

    def _hz(self, band: float) -> float:
        """Return the frequency in Hz at the middle of a band."""
        octaves = (band + 0.5) / BANDS_PER_OCTAVE
        return min(float(FIRST_BIN * self.rate / self.frame * 2**octaves), self.rate / 2)

    def _resamplers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return for common resamplers from all lower rates the band where they are 3 dB down, and losses."""
        octaves = (np.arange(len(self._widths) + BANDS_BEYOND) + 0.5) / BANDS_PER_OCTAVE
        hertz = FIRST_BIN * self.rate / self.frame * 2**octaves
        pairs = [(rate / 2, kind.loss) for kind in COMMON for rate in RATES if rate < self.rate]
        corners = [half_power(loss) * nyquist for nyquist, loss in pairs]
        losses = [np.interp(hertz / nyquist, FREQUENCIES, loss) for nyquist, loss in pairs]
        return np.interp(corners, hertz, np.arange(len(hertz))), np.reshape(losses, (-1, len(hertz)))

    def _detect(self, levels: np.ndarray) -> Cutoff:
        """Detect the cutoff from levels (frames, bands) in dB."""
        levels = levels[levels.max(axis=1) >= SILENCE_DB]
        loudness = 10 * np.log10((10 ** (levels / 10)) @ self._widths)
        active = levels[loudness >= np.percentile(loudness, 95) - ACTIVE_DB]
        curve, floor, noise = self._curve(active)
        sure = min(1.0, len(active) / SURE_FRAMES)
        bands = len(self._widths)
        cliffs, steeps = find_falls(curve, floor, noise)
        rare = np.percentile(active, RARE_PERCENTILE, axis=0)
        goes_on = np.flatnonzero(rare > max(AUDIBLE_DB, floor + OVER_FLOOR_DB))
        steeps = steeps * falls_on(
            np.maximum(curve, np.pad(_opening(rare, 3), (0, BANDS_BEYOND), constant_values=-300)), floor
        )
        both = np.maximum(cliffs, steeps)[: bands + 1]
        both[: max(BANDS_BEFORE, int(BANDS_PER_OCTAVE * math.log2(LOWEST_HZ / self._hz(-0.5))))] = 0
        found = np.flatnonzero(both >= 0.5)
        if not len(found):
            audible = np.flatnonzero(curve > floor + 6)
            hz = self._hz(audible[-1] if len(audible) else 0)
            return Cutoff(hz, sure * float(both.max()), hz >= FULL_BAND_HZ, _kind(hz, "slope"))
        first = last = int(found[0])
        while last < bands and both[last + 1] >= 0.5:
            last += 1
        kind = "cliff" if cliffs[first : last + 1].max() >= 0.5 else "steep filter"
        # A codec's shoulder lies within the first 30 dB of its cliff; of a filter only those are sure.
        depth = 45 if kind == "cliff" else 30
        hz = self._hz(fit_knee(curve, floor, depth, first, min(last, bands - 1), *self._resamplers()))
        if kind == "cliff" and hz > RATE_EDGE * self.rate / 2:
            kind = "sample rate"
        confidence = sure * float(both[first : last + 1].max())
        reach = self._hz(goes_on[-1]) if len(goes_on) else 0.0
        if hz >= LEAST_FULL_HZ and reach >= REACHED_HZ:
            return Cutoff(hz, confidence, True, "full band")
        return Cutoff(hz, confidence, hz >= FULL_BAND_HZ, _kind(hz, kind))

    def _curve(self, active: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Compute the level that each band reaches, the floor under it, and whether that floor is noise.

        The curve is continued beyond the Nyquist frequency at the floor's level, so that the Nyquist
        frequency is a cliff like any other, unless there is only noise at it.
        """
        curve = np.percentile(active, PERCENTILE, axis=0)
        quiet = np.percentile(active, 100 - PERCENTILE, axis=0)
        # Noise in a band of w bins under a Hann window has about 4 w / 3 degrees of freedom; 2.56 standard
        # deviations lie between the percentiles.
        spread = 2.56 * 10 / math.log(10) * np.sqrt(1.5 / self._widths)
        end = slice(-12, -2)  # the last quarter octave, but for where the rate's own filter falls
        floor = float(np.median(curve[end]))
        noise = bool(
            np.median((curve - quiet)[end] / spread[end]) < FLOOR_SPREAD
            and floor < np.percentile(curve, 95) - 12
        )
        lowest = float(curve.max()) - RANGE_DB
        floor = max(floor, lowest) if noise else lowest
        smooth = _closing(_opening(np.maximum(curve, lowest), 3), 6)
        if noise:
            smooth[-2:] = floor
        return np.concatenate([smooth, np.full(BANDS_BEYOND, min(floor, smooth.max()))]), floor, noise


def band_levels(frames: np.ndarray, window: np.ndarray, edges: np.ndarray, n_fft: int) -> np.ndarray:
    """Measure bands in dB of full scale per bin: (channels, ..., samples) frames to (..., bands).

    Args:
        frames: at most `n_fft` samples each; power is the mean of the channels'.
        window: (samples,).
        edges: the bins where bands begin, and where the last one ends.
        n_fft: of the transform.
    """
    return _band_means(bin_powers(frames, window, n_fft), edges)


def bin_powers(frames: np.ndarray, window: np.ndarray, n_fft: int) -> np.ndarray:
    """Measure bins' power, 1 for a full-scale tone: (channels, ..., samples) frames to (..., bins)."""
    spectrum = np.fft.rfft(frames * window, n=n_fft)
    power: np.ndarray = (spectrum.real**2 + spectrum.imag**2).mean(axis=0) * (2 / window.sum()) ** 2
    return power


def _band_means(power: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Average bins' power over bands, in dB: (..., bins) to (..., bands)."""
    means = np.add.reduceat(power, edges, axis=-1)[..., :-1] / np.diff(edges)
    levels: np.ndarray = 10 * np.log10(means + TINY)
    return levels


def hann(length: int) -> np.ndarray:
    """Return a float32 Hann window without its two zeros, so that a window of one sample is not zero."""
    window: np.ndarray = np.hanning(length + 2)[1:-1].astype(np.float32)
    return window


def _kind(hz: float, kind: str) -> str:
    return "full band" if hz >= FULL_BAND_HZ else kind


def _opening(curve: np.ndarray, width: int) -> np.ndarray:
    """Remove peaks narrower than `width` bands: a pilot tone, a hum."""
    lower = sliding_window_view(np.pad(curve, width - 1, mode="edge"), width).min(axis=-1)
    opened: np.ndarray = sliding_window_view(lower, width).max(axis=-1)
    return opened


def _closing(curve: np.ndarray, width: int) -> np.ndarray:
    """Fill gaps narrower than `width` bands: those between partials."""
    return -_opening(-curve, width)
