"""Where a signal's spectrum ends: the cutoff in Hz, found from the sound alone, with a confidence.

A signal passes in frames; each becomes its level in narrow bands, 48 to the octave. What a band reaches
in its louder tenth of frames draws one curve over frequency: a percentile, because rare clicks reach up
to the Nyquist frequency and because a codec leaves holes. Tones narrower than a music's partials stick
out of that curve and are cut off it, and what lies at its end, even and constant, is a noise floor.

                level in dB
                -------.__                     a cliff drops within a sixth of an octave: a resampler,
                          `-.                  a codec, the rate itself
                      knee   \\                a steep filter takes an octave or two, and is believed
                              \\               when it has fallen far
                               `-----------    the floor; beyond the Nyquist frequency there is less yet
                                 frequency

The lowest fall from which the curve never comes back is the cutoff, and its knee is where a straight
line times a low-pass, fitted to the curve, is 3 dB down: Butterworth's of any corner and order, or that of a
common resampler (`overtone.audio.resampler_losses`). A gentle filter below a cliff is therefore part of the
music: of a 12 dB-per-octave low-pass at 4.8 kHz on a signal sampled at 16 kHz, the cliff near 8 kHz is
reported. Between the two the treble is soft but there; above the cliff it is missing for certain.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.audio.resampler_losses import COMMON, FREQUENCIES, RATES, half_power

# Telephones reach 3.4 kHz. Below this a tone or a bass looks like a band limit, and nothing is one.
LOWEST_HZ = 2_000.0
# A cutoff at or above this leaves nothing to restore. MP3 at 96 kbit/s and what was sampled at 32 kHz
# measure 14.7 to 15.3 kHz, MP3 at 128 kbit/s 15.8 to 16.4 kHz (30 tracks of 32; two with soft treble
# stop lower): the line runs between them.
FULL_BAND_HZ = 15_500.0
# 1/48 octave is one bin of the transform where the bands begin, at 0.75 kHz for a rate of 44.1 kHz.
BANDS_PER_OCTAVE = 48
FIRST_BIN = 70
BANDS_BEYOND = 64  # after the Nyquist frequency
BANDS_BEFORE = 28  # what a fall is compared with
FRAME_SECONDS = 0.093  # to the next power of two: 4096 samples at 44.1 kHz
FRAMES = 256  # 24 s without a gap; a longer signal is sampled ever more sparsely, in the same memory
SILENCE_DB = -100.0  # of full scale, per bin, where rounding to 16 bits leaves -121
RANGE_DB = 100.0  # below the loudest band, where a codec's and float32's own noise begins
ACTIVE_DB = 30.0  # frames further below the loud ones are pauses and fades
PERCENTILE = 90
# A floor's levels spread over time as noise's must: 2 to 4 dB, music's 10 to 30 (four tracks, 8 bits).
FLOOR_SPREAD = 1.8
RATE_EDGE = 0.93  # of the Nyquist frequency: resamplers begin to fall at 91 to 95 %
KNEE_SLOPES = (1.0, 1.5, 2.0, 4.0, 10.0, 20.0)  # dB per band: 1 is 48 dB an octave, order 8
RESAMPLER_REACH = 22  # bands from where a resampler is 3 dB down to where its fall is seen
RIDGE = 80.0  # in bands squared: the tilt's prior weighs as much as bands 9 off the middle
STEEP_TRUST = 0.75  # 65 to 70 % of order-8 corners up to 5.5 kHz are found within 5 %, 90 % within 10 %
SURE = 0.5  # a cutoff found with less confidence may be where the music itself ends
SURE_FRAMES = 10  # about a second of sound; with less of it, confidence falls


@dataclass(frozen=True)
class Cutoff:
    """Where a spectrum ends.

    Attributes:
        hz: the highest frequency that is still there, 3 dB down; in Hz.
        confidence: how surely a band limit ends the spectrum there, 0 to 1. Below SURE the music may
            just be soft above it, and nothing should be restored unasked.
        full_band: the spectrum reaches FULL_BAND_HZ; there is nothing to restore.
        kind: ``full band``; ``sample rate``, ``cliff`` or ``steep filter`` as what ends it; ``slope``
            where the music fades into the noise floor; ``silence`` where there is nothing to judge.
    """

    hz: float
    confidence: float
    full_band: bool
    kind: str


class SpectrumMeter:
    """Finds the cutoff of a signal that comes in blocks, in constant memory.

    The result depends on the signal alone, not on how it is cut into blocks.

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
        self._hop = self.frame
        self._skip = 0  # samples from here to the next frame
        self._held = np.empty((0, self.frame), dtype=np.float32)
        self._filled = 0

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time) float32, any number of them."""
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
        """The cutoff of all samples so far."""
        levels = self._levels
        if not levels and self._filled:
            levels = [self._measure(self._held[:, : self._filled])]
        if not levels or max(map(np.max, levels)) < SILENCE_DB:
            return Cutoff(self.rate / 2, 0.0, False, "silence")
        return self._judge(np.stack(levels))

    def _end_frame(self) -> None:
        """Keep the frame's levels; when the memory is full, drop every second frame and take half as many."""
        self._levels.append(self._measure(self._held))
        self._filled = 0
        self._skip = self._hop - self.frame
        if len(self._levels) == FRAMES:
            del self._levels[1::2]
            self._hop *= 2

    def _measure(self, samples: np.ndarray) -> np.ndarray:
        """Levels in dB of full scale per bin, shape (bands,), of at most one frame (channels, time)."""
        length = samples.shape[1]
        window = self._window if length == self.frame else hann(length)
        return band_levels(samples, window, self._edges, self.frame)

    def _hz(self, band: float) -> float:
        """The frequency in Hz at the middle of a band."""
        octaves = (band + 0.5) / BANDS_PER_OCTAVE
        return min(float(FIRST_BIN * self.rate / self.frame * 2**octaves), self.rate / 2)

    def _resamplers(self) -> tuple[np.ndarray, np.ndarray]:
        """Common resamplers from all lower rates: the bands where they are 3 dB down, and losses by band."""
        octaves = (np.arange(len(self._widths) + BANDS_BEYOND) + 0.5) / BANDS_PER_OCTAVE
        hertz = FIRST_BIN * self.rate / self.frame * 2**octaves
        pairs = [(rate / 2, kind.loss) for kind in COMMON for rate in RATES if rate < self.rate]
        corners = [half_power(loss) * nyquist for nyquist, loss in pairs]
        losses = [np.interp(hertz / nyquist, FREQUENCIES, loss) for nyquist, loss in pairs]
        return np.interp(corners, hertz, np.arange(len(hertz))), np.reshape(losses, (-1, len(hertz)))

    def _judge(self, levels: np.ndarray) -> Cutoff:
        """Find the cutoff from levels (frames, bands) in dB."""
        levels = levels[levels.max(axis=1) >= SILENCE_DB]
        loudness = 10 * np.log10((10 ** (levels / 10)) @ self._widths)
        active = levels[loudness >= np.percentile(loudness, 95) - ACTIVE_DB]
        curve, floor, noise = self._curve(active)
        sure = min(1.0, len(active) / SURE_FRAMES)
        bands = len(self._widths)
        cliffs, steeps = _falls(curve, floor, noise)
        both = np.maximum(cliffs, steeps)[: bands + 1]
        both[: max(BANDS_BEFORE, int(BANDS_PER_OCTAVE * math.log2(LOWEST_HZ / self._hz(-0.5))))] = 0
        found = np.flatnonzero(both >= 0.5)
        if not len(found):
            heard = np.flatnonzero(curve > floor + 6)
            hz = self._hz(heard[-1] if len(heard) else 0)
            return Cutoff(hz, sure * float(both.max()), hz >= FULL_BAND_HZ, _kind(hz, "slope"))
        first = last = int(found[0])
        while last < bands and both[last + 1] >= 0.5:
            last += 1
        kind = "cliff" if cliffs[first : last + 1].max() >= 0.5 else "steep filter"
        # A codec's shoulder lies within the first 30 dB of its cliff; of a filter only those are sure.
        depth = 45 if kind == "cliff" else 30
        hz = self._hz(_knee(curve, floor, depth, first, min(last, bands - 1), *self._resamplers()))
        if kind == "cliff" and hz > RATE_EDGE * self.rate / 2:
            kind = "sample rate"
        return Cutoff(hz, sure * float(both[first : last + 1].max()), hz >= FULL_BAND_HZ, _kind(hz, kind))

    def _curve(self, active: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """The level that each band reaches, the floor under it, and whether that floor is noise.

        The curve goes on beyond the Nyquist frequency, at the floor's level, so that the end of the rate
        is a cliff like any other, unless there is only noise there.
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
    """Levels of bands in dB of full scale per bin: (channels, ..., samples) frames to (..., bands).

    Args:
        frames: at most `n_fft` samples each; power is the mean of the channels'.
        window: (samples,).
        edges: the bins where bands begin, and where the last one ends.
        n_fft: of the transform.
    """
    spectrum = np.fft.rfft(frames * window, n=n_fft)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=0) * (2 / window.sum()) ** 2
    means = np.add.reduceat(power, edges, axis=-1)[..., :-1] / np.diff(edges)
    levels: np.ndarray = 10 * np.log10(means + 1e-16)
    return levels


def hann(length: int) -> np.ndarray:
    """A Hann window without its two zeros, float32: of one sample there is something left."""
    window: np.ndarray = np.hanning(length + 2)[1:-1].astype(np.float32)
    return window


def _kind(hz: float, kind: str) -> str:
    return "full band" if hz >= FULL_BAND_HZ else kind


def _opening(curve: np.ndarray, width: int) -> np.ndarray:
    """Take off what sticks out over fewer than `width` bands: a pilot tone, a hum."""
    lower = sliding_window_view(np.pad(curve, width - 1, mode="edge"), width).min(axis=-1)
    opened: np.ndarray = sliding_window_view(lower, width).max(axis=-1)
    return opened


def _closing(curve: np.ndarray, width: int) -> np.ndarray:
    """Fill what is missing over fewer than `width` bands: the gaps between partials."""
    return -_opening(-curve, width)


def _around(curve: np.ndarray, start: int, stop: int) -> np.ndarray:
    """For each band i, the median of curve[i + start : i + stop], shape (bands,)."""
    padded = np.pad(curve, (max(0, -start), max(0, stop)), mode="edge")
    windows = sliding_window_view(padded, stop - start)[max(0, start) :]
    medians: np.ndarray = np.median(windows[: len(curve)], axis=-1)
    return medians


def _belief(value: np.ndarray, half: float, width: float) -> np.ndarray:
    """A logistic function: 0.5 at `half`."""
    belief: np.ndarray = 1 / (1 + np.exp(-np.clip((value - half) / width, -50, 50)))
    return belief


def _falls(curve: np.ndarray, floor: float, noise: bool) -> tuple[np.ndarray, np.ndarray]:
    """How much each band looks like the edge of a cliff and of a steep filter: two arrays, 0 to 1.

    A fall counts as far as it is steeper than the music before it, and as far as nothing above it
    comes back. The numbers come from 32 tracks, whole and damaged in 46 ways.
    """
    before = _around(curve, -8, 0)
    above = np.maximum.accumulate(curve[::-1])[::-1]
    above = np.concatenate([above[20:], np.full(20, above[-1])])
    stays = (before - above) / 0.7
    natural = np.maximum(0, _around(curve, -16, -8) - before)
    drop = np.minimum(before - _around(curve, 4, 8) - natural, stays)
    # Music's own ledges, 9 to 17 dB high, were taken for cliffs with a threshold of 9 dB; into a floor of
    # noise, 10 dB are a cliff.
    into_noise = noise & (above < floor + 3)
    cliffs = np.where(into_noise, _belief(drop, 10, 1.5), _belief(drop, 22, 3))
    natural = np.maximum(0, _around(curve, -BANDS_BEFORE, -20) - before)
    drop = np.minimum(before - _around(curve, 20, 28) - natural, stays)
    # What falls by 18 dB in half an octave may be soft music. A filter goes on falling for an octave, or
    # until the next cliff: full-band tracks fell by up to 28 dB, a filter of order 8 does 48.
    edges = np.flatnonzero(cliffs >= 0.5)
    following = np.append(before[edges], floor)[np.searchsorted(edges, np.arange(len(curve)))]
    fall = before - np.maximum(following, _around(curve, 36, 44))
    steeps = STEEP_TRUST * np.minimum(_belief(drop, 18, 3), _belief(fall, 31, 2.5))
    return cliffs, steeps


def _knee(
    curve: np.ndarray,
    floor: float,
    depth: int,
    first: int,
    last: int,
    resamplers: np.ndarray,
    losses: np.ndarray,
) -> float:
    """The band, to a fraction, where a low-pass is 3 dB down: first and last bracket where it begins.

    Further than `depth` dB below the knee, nothing is looked at. `resamplers` are the bands where resamplers
    are 3 dB down, `losses` what they take in every band.

    The music is a straight line in dB over octaves, the low-pass Butterworth's, whose order stands for
    any steepness, or a resampler's; of all of them the one counts that leaves the least mean error.
    """
    seen = slice(max(0, first - 24), min(last + 48, len(curve)))
    x, y = np.arange(len(curve), dtype=float)[seen], curve[seen]
    # Clipping after the cut leaves a splatter above it, which no line fits: it is a floor as well.
    floor = max(floor, float(curve[last + 20 :].max()))
    # All low-passes at once, (low-passes, bands): every corner with every order, and the resamplers in reach.
    corners = np.arange(first - 4, last + 12, 0.5).repeat(len(KNEE_SLOPES))
    slopes = np.resize(KNEE_SLOPES, len(corners))[:, None]
    loss = 10 * np.log10(1 + 10 ** (np.clip(slopes * (x - corners[:, None]), -100, 300) / 10))
    reach = (resamplers > first - RESAMPLER_REACH) & (resamplers < last + 12)
    corners = np.concatenate([corners, resamplers[reach]])
    loss = np.concatenate([loss, losses[reach, seen]])
    octave = x - corners[:, None]
    near = octave > -40
    fitted = near & (loss < depth - 4) & (y > floor + 4)
    # Half the weight below the corner, where an error of the order would tilt the line.
    weight = fitted * np.where(loss < 3, 1.0, 0.5)
    weight = weight / np.maximum(weight.sum(-1, keepdims=True), 1e-9)
    level = y + loss
    middle, height = ((weight * of).sum(-1, keepdims=True) for of in (octave, level))
    # Drawn to a fall of 7 dB an octave, for a tilt and a filter's order are hard to tell apart.
    spread = (weight * (octave - middle) ** 2).sum(-1, keepdims=True)
    leans = (weight * (octave - middle) * (level - height)).sum(-1, keepdims=True)
    tilt = np.clip((leans - 0.15 * RIDGE) / (spread + RIDGE), -0.5, 0.1)
    line = height + tilt * (octave - middle)
    lowest = np.maximum(height - tilt * middle - depth, floor)
    errors = np.abs(np.maximum(line - loss, lowest) - np.maximum(y, lowest)).mean(-1, where=near)
    errors[fitted.sum(-1) < 12] = math.inf
    best = int(errors.argmin())
    return float(first) if math.isinf(errors[best]) else float(corners[best])
