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
    """

    filters: bool
    lowest: float
    highest: float
    gain_db: float

    def __post_init__(self) -> None:
        inside = 500 <= self.lowest < self.highest
        check(inside, "train.augment.lowest", self.lowest, "a frequency in Hz, 500 to train.augment.highest")
        check(0 <= self.gain_db <= 60, "train.augment.gain_db", self.gain_db, "a gain in dB, 0 to 60")


def augment(batch: Batch, settings: AugmentSettings, rate: int, seed: int) -> Batch:
    """Low-pass every segment by a filter of its own and change its level.

    The filter is Butterworth-like, ``|H|^2 = 1 / (1 + (f / fc)^2n)`` with order n from 4 to 200 (a wall),
    zero-phase; the cutoff that the network is told lies up to 5 % under fc.
    """
    if not settings.filters:
        return batch
    original, device = batch.original, batch.original.device
    # Drawn on the CPU: the same numbers on every device.
    draw = torch.rand((4, len(original)), generator=torch.Generator().manual_seed(seed)).to(device)
    highest = (batch.bandwidth - LEAST_BAND).clamp(settings.lowest, settings.highest)
    corner = settings.lowest * (highest / settings.lowest) ** draw[0]
    order = 4 * 50 ** draw[1]
    frequency = torch.fft.rfftfreq(original.shape[-1], 1 / rate, device=device)
    steepness = (frequency / corner[:, None]).clamp(1e-3, 1e3).log() * 2 * order[:, None]
    response = torch.sigmoid(-steepness).sqrt()
    degraded = torch.fft.irfft(torch.fft.rfft(original) * response, n=original.shape[-1])
    gain = 10 ** (-settings.gain_db / 20 * draw[2])[:, None]
    told = corner * (1 - 0.05 * draw[3])
    return Batch(degraded * gain, original * gain, told, batch.bandwidth)
