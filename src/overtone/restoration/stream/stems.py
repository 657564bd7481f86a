"""Restore a stream stem by stem: separate it, restore every stem, and add the sum of their added bands.

::

    input ─┬─► Demucs ─► drums, bass, ... ─► network ─► added band of each stem ─► sum ─► limiter
           └────────────────────────────────────────────────────────────────────────────────► + ─► output

The stems themselves never reach the output, as they do not add up to the input: the low band is the input's,
as everywhere. The difference of their sum to the input is measured (`Findings`).
"""

from collections.abc import Iterator

import numpy as np

from overtone.audio.rolloff import Rolloff
from overtone.models.network import Network
from overtone.restoration.stream import limits
from overtone.restoration.stream.added_band import GainCurve
from overtone.restoration.stream.fifo import Fifo
from overtone.restoration.stream.limiter import Limiter
from overtone.restoration.stream.resampling import Unchanged, fit_length
from overtone.restoration.stream.restorer import Restorer
from overtone.restoration.stream.separation import Findings, Separation, Separator


class StemsRestorer:
    """Restores a stream as `Restorer` does, stem by stem: blocks in, blocks out, memory constant.

    Args:
        separator: of `overtone.restoration.stream.separation.open_separator`.
        net, rate, channels, cutoff, peak, out_rate: as for `Restorer`. Every stem is restored at the scale of
            the mix, as its own peak is known only when all of it is separated.
        keep_low: False gives the sum of the network's output for each stem in all bands, to measure it.
        findings: to add to; by default new ones.
        curve: gain of each stem's added band over frequency.
        rolloff: of the mix's own low-pass, if it was measured.

    Attributes:
        findings: of the stream so far.
        limiter: of the sum; None where the network's output is measured.

    Raises:
        OvertoneError: as of `Restorer`.
    """

    def __init__(
        self,
        separator: Separator,
        net: Network,
        rate: int,
        channels: int,
        cutoff: float,
        peak: float = 1.0,
        out_rate: int | None = None,
        keep_low: bool = True,
        findings: Findings | None = None,
        curve: GainCurve | None = None,
        rolloff: Rolloff | None = None,
    ) -> None:
        self.findings = findings or Findings(separator.name, separator.stems)
        self._keep_low = keep_low
        limits.check_cutoff(cutoff, rate)
        own, start = separator.rate, limits.restored_from(cutoff, rate, rolloff)
        self._dry = Unchanged(rate, channels, out_rate)
        self.out_rate = self._dry.out_rate
        self._to_separator = Unchanged(rate, channels, own)
        self._to_out = Unchanged(own, channels, self.out_rate)
        self._separation = Separation(separator, channels, self.findings)
        self._restorers = [
            Restorer(
                *(net, own, channels, start, peak, own, keep_low),
                curve=curve,
                apart=True,
                rolloff=rolloff,
            )
            for _ in separator.stems
        ]
        # Output that waits for its other half, and what is subtracted from the sum of restored stems.
        self._waiting_dry, self._waiting_added, self._base = (Fifo(channels) for _ in range(3))
        self.limiter = Limiter(self.out_rate, channels, peak) if keep_low else None

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next (channels, time) float32 samples and return the output that is ready."""
        for added in self._added(self._to_separator.process(block), False):
            self._waiting_added.append(self._to_out.process(added))
        # A copy: the caller's block may change while it waits.
        self._waiting_dry.append(np.array(self._dry.process(block)))
        return self._ready(min(self._waiting_dry.size, self._waiting_added.size), False)

    def flush(self) -> np.ndarray:
        """End the stream and return the rest: round(samples in * out_rate / rate) samples in all."""
        for added in self._added(self._to_separator.flush(), True):
            self._waiting_added.append(self._to_out.process(added))
        self._waiting_added.append(self._to_out.flush())
        self._waiting_dry.append(self._dry.flush())
        return self._ready(self._waiting_dry.size, True)

    def _added(self, mix: np.ndarray, last: bool) -> Iterator[np.ndarray]:
        """Yield the sum of the stems' added bands as far as they are done."""
        for separated, stems in self._separation(mix, last):
            # The output is the input plus this sum: subtracting the mix in place of the stems leaves the sum
            # of the restored stems.
            self._base.append(sum(stems) if self._keep_low else separated)
            yield self._sum(
                [restorer.process(stem) for restorer, stem in zip(self._restorers, stems, strict=True)]
            )
        if last:
            yield self._sum([restorer.flush() for restorer in self._restorers])

    def _sum(self, restored: list[np.ndarray]) -> np.ndarray:
        """Sum restored stems, each its samples and its added band, less what they are compared with."""
        samples, added = np.split(sum(restored[1:], start=restored[0]), 2)
        total: np.ndarray = samples + added - self._base.take(samples.shape[1])
        return total

    def _ready(self, count: int, last: bool) -> np.ndarray:
        """Return the sum of input and added band, (channels, count), as far as the limiter knows it."""
        # Resampling to Demucs's rate and back may lose a sample at the end.
        dry, added = self._waiting_dry.take(count), fit_length(self._waiting_added.take(count), count)
        out: np.ndarray = dry + added if self.limiter is None else self.limiter.process(dry, added, last)
        return out
