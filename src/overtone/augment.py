"""Damage drawn anew for every batch, on the device: models overfit the one filter that they saw."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from overtone.params import check

# A cutoff this near the recording's own bandwidth leaves nothing to learn.
LEAST_BAND = 2000.0


class Batch(NamedTuple):
    """Segments of a batch: degraded and original (batch, time); cutoff and bandwidth (batch,) in Hz."""

    degraded: Tensor
    original: Tensor
    cutoff: Tensor
    bandwidth: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def split(self, size: int) -> list["Batch"]:
        """The same in micro-batches of at most ``size``."""
        return [Batch(*parts) for parts in zip(*(torch.split(t, size) for t in self), strict=True)]


@dataclass(frozen=True)
class AugmentSettings:
    """The group ``train.augment`` of params.yaml.

    Attributes:
        filters: true draws a low-pass for every segment in place of the stored degraded one.
        lowest, highest: range of the cutoff in Hz, drawn evenly on a log scale.
        gain_db: segments are made softer by up to this, as most of a song is than its peak.
        coded: share of the segments that go through MP3 or Vorbis behind their low-pass.
    """

    filters: bool
    lowest: float
    highest: float
    gain_db: float
    coded: float = 0.0

    def __post_init__(self) -> None:
        inside = 500 <= self.lowest < self.highest
        check(inside, "train.augment.lowest", self.lowest, "a frequency in Hz, 500 to train.augment.highest")
        check(0 <= self.gain_db <= 60, "train.augment.gain_db", self.gain_db, "a gain in dB, 0 to 60")
        check(0 <= self.coded <= 1, "train.augment.coded", self.coded, "a share, 0 to 1")
        unheard = self.coded > 0 and not self.filters
        check(not unheard, "train.augment.coded", self.coded, "0 unless train.augment.filters is true")


class Drawn(NamedTuple):
    """The damage to each segment of a batch, all (batch,): a low-pass, a level, and whether it is coded.

    Attributes:
        corner, order: of the filter, ``|H|^2 = 1 / (1 + (f / corner)^2 order)``; the corner in Hz.
        under: what the cutoff that the network is told is of the true one, 0.95 to 1.
        gain: a factor.
        coded: booleans.
        coding: which coding, 0 to 1.
    """

    corner: Tensor
    order: Tensor
    under: Tensor
    gain: Tensor
    coded: Tensor
    coding: Tensor


def draw(bandwidth: Tensor, settings: AugmentSettings, seed: int) -> Drawn:
    """Draw the damage to segments whose originals end at ``bandwidth`` (batch,), in Hz."""
    # Drawn on the CPU: the same numbers on every device.
    generator = torch.Generator().manual_seed(seed)
    filters, codings = (
        torch.rand((rows, len(bandwidth)), generator=generator).to(bandwidth.device) for rows in (4, 2)
    )
    highest = (bandwidth - LEAST_BAND).clamp(settings.lowest, settings.highest)
    return Drawn(
        corner=settings.lowest * (highest / settings.lowest) ** filters[0],
        order=4 * 50 ** filters[1],
        under=1 - 0.05 * filters[3],
        gain=10 ** (-settings.gain_db / 20 * filters[2]),
        coded=codings[0] < settings.coded,
        coding=codings[1],
    )


def augment(batch: Batch, settings: AugmentSettings, rate: int, seed: int) -> Batch:
    """Low-pass every segment by a filter of its own and change its level.

    The filter is Butterworth-like with order from 4 to 200 (a wall), zero-phase; the cutoff that the
    network is told lies up to 5 % under its corner. Segments that are drawn to be coded keep their
    degraded samples and cutoff: ``overtone.coding.code`` has made them, with the same seed.
    """
    if not settings.filters:
        return batch
    original = batch.original
    drawn = draw(batch.bandwidth, settings, seed)
    frequency = torch.fft.rfftfreq(original.shape[-1], 1 / rate, device=original.device)
    steepness = (frequency / drawn.corner[:, None]).clamp(1e-3, 1e3).log() * 2 * drawn.order[:, None]
    response = torch.sigmoid(-steepness).sqrt()
    degraded = torch.fft.irfft(torch.fft.rfft(original) * response, n=original.shape[-1])
    degraded = torch.where(drawn.coded[:, None], batch.degraded, degraded)
    told = torch.where(drawn.coded, batch.cutoff, drawn.corner * drawn.under)
    gain = drawn.gain[:, None]
    return Batch(degraded * gain, original * gain, told, batch.bandwidth)
