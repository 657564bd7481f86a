"""Degrade every batch by filters drawn for it, on the device: networks overfit a filter that is always the
same.

The music is varied too, original and degraded alike: a network that knows a hundred tracks takes their tonal
balance for that of all music.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from overtone.core.params import check, check_choice
from overtone.data.dataset.batch import Batch, BatchRows
from overtone.training.codecs import CodecSettings, Sources, apply_codecs

# A cutoff this near the recording's own bandwidth leaves nothing to learn.
LEAST_BAND = 2000.0
# An equaliser's bumps: how many, and their width in octaves.
BUMPS, BUMP_OCTAVES = 2, 0.7
KINDS = ("butterworth", "chebyshev1", "elliptic", "sinc")
RIPPLE_DB = 0.05  # of Chebyshev and elliptic filters, that of degrade.ripple_db


@dataclass(frozen=True)
class AugmentSettings:
    """The group ``train.augment`` of params.yaml.

    Attributes:
        filters: true draws a low-pass for every segment in place of the stored degraded one; all other
            settings are used only then.
        kinds: of low-pass, each as likely as the others: ``butterworth``, ``chebyshev1``, ``elliptic``,
            ``sinc`` (a resampler's).
        lowest, highest: range of the cutoff in Hz, drawn evenly on a log scale.
        gain_db: segments are attenuated by up to this, as most of a song is quieter than its peak.
        speed: a batch is played up to this much faster or slower, its pitch with it; 1 leaves it.
        tilt_db: segments are tilted by up to this per octave, with two bumps of up to twice as much.
        mix: share of the segments to which another one is added.
        coded: share of the segments whose input goes through MP3 or Vorbis behind its low-pass.
        coded_whole: of those, the share that is coded without one: the codec's own low-pass ends them, and
            below it are the holes of a codec that is short of bits. Sides of stereo (``degrade.channels:
            side``) are coded with a mid, as in a file.
    """

    filters: bool
    kinds: tuple[str, ...]
    lowest: float
    highest: float
    gain_db: float
    speed: float
    tilt_db: float
    mix: float
    coded: float
    coded_whole: float

    def __post_init__(self) -> None:
        allowed = "one or more of " + ", ".join(KINDS)
        check(bool(self.kinds), "train.augment.kinds", list(self.kinds), allowed)
        for kind in self.kinds:
            check_choice("train.augment.kinds", kind, KINDS)
        inside = 500 <= self.lowest < self.highest
        check(inside, "train.augment.lowest", self.lowest, "a frequency in Hz, 500 to train.augment.highest")
        check(0 <= self.gain_db <= 60, "train.augment.gain_db", self.gain_db, "a gain in dB, 0 to 60")
        check(1 <= self.speed <= 2, "train.augment.speed", self.speed, "a factor, 1 to 2")
        check(0 <= self.tilt_db <= 12, "train.augment.tilt_db", self.tilt_db, "dB per octave, 0 to 12")
        check(0 <= self.mix <= 1, "train.augment.mix", self.mix, "a share, 0 to 1")
        for key in ("coded", "coded_whole"):
            value = getattr(self, key)
            check(0 <= value <= 1, f"train.augment.{key}", value, "a share, 0 to 1")

    def shortest(self, time: int) -> int:
        """Return the fewest samples that a segment of so many may be played in."""
        return min(time, _played(time, self.speed)) if self.filters and self.speed > 1 else time


class _Varied(NamedTuple):
    """Music as it is played: faster or slower, equalised, with other music added.

    Attributes:
        spectrum: (batch, frequencies), of the segments.
        other: of the segments that may be added to them.
        bandwidth: (batch,) in Hz.
        length: samples of a segment.
    """

    spectrum: Tensor
    other: Tensor
    bandwidth: Tensor
    length: int


class _Random:
    """Numbers from 0 to 1, drawn on the CPU: the same on every device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator, self._device = torch.Generator().manual_seed(seed), device

    def __call__(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator).to(self._device)


def augment(
    batch: Batch,
    settings: AugmentSettings,
    rate: int,
    seed: int,
    rows: BatchRows | None = None,
    side: bool = False,
) -> Batch:
    """Vary every segment, low-pass it by a filter of its own, change its level and perhaps code it.

    Filters are zero-phase; the cutoff that is stated lies up to 5 % under their -3 dB.

    Args:
        batch: the segments, or of a larger batch those that ``rows.read`` names.
        settings: the group ``train.augment``.
        rate: in Hz.
        seed: what to draw from; a segment's draws depend on its row in the larger batch alone.
        rows: which of them are wanted; None for all.
        side: whether they are the side of stereo, which codecs code with a mid. The segment before is taken
            for it.

    Returns:
        Segments whose degraded peak, before coding, lies between 1 and ``-gain_db``; at another speed they
        are shorter or longer, in whole multiples of 512 samples.
    """
    if not settings.filters:
        return batch
    count, device = len(batch.original), batch.original.device
    rows = rows or BatchRows(count, list(range(count)))
    draw = _Random(seed, device)
    music = _vary(batch, settings, rate, rows, draw)
    frequency, length = _frequencies(music.length, rate, device), music.length
    chance = draw(4, rows.size)[:, rows.own]
    highest = (music.bandwidth - LEAST_BAND).clamp(settings.lowest, settings.highest)
    corner = settings.lowest * (highest / settings.lowest) ** chance[0]
    shape = draw(2, rows.size)[:, rows.own]
    lowpass = _lowpass(frequency / corner[:, None], settings.kinds, chance[1], shape)
    degraded, original = (torch.fft.irfft(s, n=length) for s in (music.spectrum * lowpass, music.spectrum))
    peak = degraded.abs().amax(-1, keepdim=True).clamp_min(1e-4)
    gain = 10 ** (-settings.gain_db / 20 * chance[2])[:, None] / peak
    cutoff = corner * (1 - 0.05 * chance[3])
    degraded, original = degraded * gain, original * gain
    if settings.coded:
        draws = draw(6, rows.size)[:, rows.own].cpu()
        codec_highest = (music.bandwidth - LEAST_BAND).clamp(max=settings.highest)
        mid = torch.fft.irfft(music.other, n=length) if side else None
        sources = Sources(degraded, cutoff, original, codec_highest, mid)
        share = CodecSettings(settings.coded, settings.coded_whole, settings.lowest)
        degraded, cutoff = apply_codecs(sources, share, rate, draws)
    return Batch(degraded, original, cutoff, music.bandwidth)


def _vary(batch: Batch, settings: AugmentSettings, rate: int, rows: BatchRows, draw: _Random) -> _Varied:
    """Play the originals faster or slower, equalise them, and add the segment before to some."""
    read = rows.read(settings.filters)
    own = [read.index(row) for row in rows.own]
    before = [read.index(rows.before(row)) for row in rows.own]
    time = batch.original.shape[1]
    speed = settings.speed ** float(2 * draw().cpu() - 1)
    length = _played(time, speed) if settings.speed > 1 else time
    speed = time / length
    frequency = _frequencies(length, rate, batch.original.device)
    spectrum = torch.fft.rfft(batch.original)[:, : len(frequency)] / speed
    spectrum = torch.nn.functional.pad(spectrum, (0, len(frequency) - spectrum.shape[1]))
    spectrum = spectrum * _equaliser(frequency, settings.tilt_db, draw(rows.size, 1 + 2 * BUMPS)[read])
    bandwidth = (batch.bandwidth * speed).clamp(max=rate / 2)
    mixed = (draw(rows.size) < settings.mix)[rows.own]
    other = spectrum[before]
    mixture = spectrum[own] + torch.where(mixed, draw(rows.size)[rows.own], 0.0)[:, None] * other
    narrower = torch.minimum(bandwidth[own], bandwidth[before])
    return _Varied(mixture, other, torch.where(mixed, narrower, bandwidth[own]), length)


def _frequencies(length: int, rate: int, device: torch.device) -> Tensor:
    """Return the frequencies of a real transform, in Hz."""
    return torch.arange(length // 2 + 1, device=device) * (rate / length)


def _played(time: int, speed: float) -> int:
    """Return the length of a segment of so many samples, played faster by a factor: a multiple of 512."""
    return round(time / speed / 512) * 512


def _lowpass(frequency: Tensor, kinds: tuple[str, ...], steep: Tensor, chance: Tensor) -> Tensor:
    """Compute the magnitudes of low-passes, each -3 dB at a frequency of 1.

    ::

        butterworth  |H|^2 = 1 / (1 + f^2n),             n from 4 to 200 (a wall)
        chebyshev1   |H|^2 = 1 / (1 + e^2 T_n(c f)^2),   n from 4 to 16; e is the ripple, c brings -3 dB to 1
        elliptic     the same, its stop band no lower than -40 to -100 dB
        sinc         |H|^2 falls as a half cosine, over 30 % to 0.3 % of the cutoff, to nothing

    Args:
        frequency: (batch, frequencies).
        kinds: to draw from.
        steep: (batch,) from 0 to 1.
        chance: (2, batch) from 0 to 1, which draw the kind and the depth of an elliptic's stop band.
    """
    order = (4 * 50**steep)[:, None]
    butterworth = torch.sigmoid(-2 * order * frequency.clamp(1e-3, 1e3).log())
    order = (4 * 4**steep)[:, None]
    ripple = math.sqrt(10 ** (RIPPLE_DB / 10) - 1)
    x = frequency * (math.acosh(1 / ripple) / order).cosh()
    # T_n inside its band and beyond it, where float32 holds no more than e^80.
    inside, beyond = (
        (order * x.clamp(0, 1).acos()).cos(),
        (order * x.clamp_min(1).acosh()).clamp(max=40).cosh(),
    )
    chebyshev = 1 / (1 + (ripple * torch.where(x < 1, inside, beyond)).square())
    width = (0.3 * 0.01**steep)[:, None]
    sinc = 0.5 + 0.5 * (torch.pi * ((frequency - 1) / width + 0.5).clamp(0, 1)).cos()
    power = {
        "butterworth": butterworth,
        "chebyshev1": chebyshev,
        "elliptic": chebyshev.maximum(10 ** -(4 + 6 * chance[1, :, None])),
        "sinc": sinc.clamp_min(0),
    }
    drawn = (chance[0] * len(kinds)).long()
    result = torch.stack([power[kind] for kind in kinds])[drawn, torch.arange(len(drawn))]
    return result.sqrt()


def _equaliser(frequency: Tensor, tilt_db: float, chance: Tensor) -> Tensor:
    """Compute a tilt about 1 kHz and two bumps, as factors.

    Shape:
        chance (batch, 1 + 2 BUMPS), from 0 to 1 -> (batch, frequencies).
    """
    octaves = (frequency.clamp_min(40) / 1000).log2()
    decibels = (2 * chance[:, :1] - 1) * tilt_db * octaves
    for bump in range(BUMPS):
        height, position = chance[:, 1 + 2 * bump, None], chance[:, 2 + 2 * bump, None]
        distance = (octaves - (math.log2(0.1) + position * math.log2(200))) / BUMP_OCTAVES
        decibels = decibels + (2 * height - 1) * 2 * tilt_db * (-(distance**2)).exp()
    return 10 ** (decibels / 20)
