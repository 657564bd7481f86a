"""Measure an input before it is restored, and open the restorer that its measurement asks for.

::

    blocks ─► Analyzer ─► Analysis ─► open_restorer ─► Restorer        a band is missing
              cutoff                                   StemsRestorer   the same, stem by stem
              noise floors                             Unchanged       nothing is missing for certain
              narrowband passages
              peak
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from overtone.audio.cutoff import Cutoff, SpectrumMeter
from overtone.audio.rolloff import Rolloff
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.models.network import Network
from overtone.restoration.stream.added_band import GainCurve
from overtone.restoration.stream.limits import (
    BLOCK,
    MAX_PEAK,
    RESAMPLED,
    RESAMPLER_ORDER,
    needs_restoring,
    restored_from,
)
from overtone.restoration.stream.narrowband import PassageMeter
from overtone.restoration.stream.noise_floor import NoiseFloor, NoiseFloorMeter
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.restorer import Restorer
from overtone.restoration.stream.separation import Findings, Separator
from overtone.restoration.stream.spectral_balance import BalanceMeter
from overtone.restoration.stream.stems import StemsRestorer

# A roll-off of this order or more is a cliff. Its corner is the cutoff if it is so near: of 67 recordings,
# low-passed by an elliptic filter, it is then right within 3 % in 99.3 % of cases, not 98.1.
CLIFF_ORDER, REFINED = 64, 0.05

Stream = Restorer | StemsRestorer | Unchanged


@dataclass(frozen=True)
class Analysis:
    """The measurement of an input.

    Attributes:
        rate: in Hz.
        channels: their number.
        samples: per channel.
        peak: the largest absolute sample.
        cutoff: where the spectrum ends; its kind is ``given`` if it was not measured.
        floors: the noise floor of mid and side of stereo, or of each channel; None where there is none, where
            it was not measured, and with narrowband passages, whose noise is not the recording's.
        spans: start and end in seconds of the narrowband passages, empty if there are none; None if they
            were not looked for.
        balance: mean level in dB of every third octave (`BalanceMeter.levels`); empty if not measured.
        rolloff: of the low-pass that ends the spectrum; None if none was found, and with narrowband passages.
    """

    rate: int
    channels: int
    samples: int
    peak: float
    cutoff: Cutoff
    floors: tuple[NoiseFloor | None, ...]
    spans: tuple[tuple[float, float], ...] | None = None
    balance: tuple[float, ...] = ()
    rolloff: Rolloff | None = None

    @property
    def start(self) -> float:
        """The frequency in Hz from which on a band is added."""
        return restored_from(self.cutoff.hz, self.rate, self.rolloff)

    @property
    def needs_restoring(self) -> bool:
        """True if a band is missing above the cutoff for certain."""
        return needs_restoring(self.cutoff)


class Analyzer:
    """Measures an input that comes in blocks, in constant memory but for `PassageMeter`'s levels.

    Args:
        rate: in Hz.
        channels: their number.
        cutoff: in Hz; measured if not given.
        passages: whether to look for narrowband passages.
        noise: whether to measure noise floors.
        name: of the input, for messages.
        balance: whether to measure the spectral balance.
    """

    def __init__(
        self,
        rate: int,
        channels: int,
        cutoff: float | None = None,
        passages: bool = False,
        noise: bool = True,
        name: str = "the input",
        balance: bool = False,
    ) -> None:
        self._rate, self._channels, self._name = rate, channels, name
        self._given = None if cutoff is None else Cutoff(cutoff, 1.0, False, "given")
        self._spectrum = SpectrumMeter(rate)
        self._passages = PassageMeter(rate) if passages else None
        self._noise = NoiseFloorMeter(rate, channels) if noise else None
        self._balance = BalanceMeter(rate) if balance else None
        meters = (self._spectrum, self._passages, self._noise, self._balance)
        self._meters = [meter for meter in meters if meter is not None]
        self.samples, self._peak = 0, 0.0

    def add(self, block: np.ndarray) -> None:
        """Measure the next samples, (channels, time) float32, one at least.

        Raises:
            OvertoneError: they hold NaN or infinity, or peak where no sound does.
        """
        self._peak = max(self._peak, self._check(block))
        for meter in self._meters:
            meter.add(block)
        self.samples += block.shape[1]

    def finish(self) -> Analysis:
        """Return the analysis of all samples."""
        cutoff, spans = self._cutoff()
        rolloff = None if spans or not needs_restoring(cutoff) else self._rolloff(cutoff)
        cutoff = self._refined(cutoff, rolloff)
        floors: Sequence[NoiseFloor | None] = [None] * self._channels
        if self._noise is not None and not spans:
            floors = self._noise.floors(cutoff.hz)
        balance = () if self._balance is None else tuple(self._balance.levels().tolist())
        common = self._rate, self._channels, self.samples, self._peak, cutoff, tuple(floors)
        return Analysis(*common, spans, balance, rolloff)

    def _rolloff(self, cutoff: Cutoff) -> Rolloff | None:
        """Measure the roll-off at a cutoff; it is the resampler's where the input reaches its rate's end.

        What lies above a cutoff that was given, where nothing falls, is to be replaced: there is no roll-off.
        """
        highest = RESAMPLED * self._rate / 2
        found = self._spectrum.rolloff(cutoff.hz) if cutoff.hz < highest else None
        if self._rate < MODEL_RATE and (cutoff.hz >= highest or (found and found.corner > highest)):
            return Rolloff(highest, RESAMPLER_ORDER)
        return found or (None if self._given else Rolloff(cutoff.hz, CLIFF_ORDER))

    def _refined(self, cutoff: Cutoff, rolloff: Rolloff | None) -> Cutoff:
        """Take the corner of a cliff's roll-off, which is measured in narrower bands, for the cutoff."""
        if self._given or rolloff is None or rolloff.order < CLIFF_ORDER:
            return cutoff
        near = abs(rolloff.corner / cutoff.hz - 1) <= REFINED
        return replace(cutoff, hz=float(rolloff.corner)) if near else cutoff

    def _cutoff(self) -> tuple[Cutoff, tuple[tuple[float, float], ...] | None]:
        """Return the cutoff, that of the narrowband passages if there are any, and their spans."""
        passages = self._passages.passages() if self._passages is not None else None
        if passages:
            return passages.cutoff, passages.spans
        return self._given or self._spectrum.cutoff(), None if self._passages is None else ()

    def _check(self, block: np.ndarray) -> float:
        """Return the largest absolute sample, or raise if the block is no sound."""
        peak = float(np.abs(block).max())
        if not np.isfinite(peak):
            seconds = (self.samples + int(np.argmin(np.isfinite(block).all(0)))) / self._rate
            raise OvertoneError(
                f"{self._name} holds NaN or infinity, first at {seconds:.3f} s; repair it first"
            )
        if peak > MAX_PEAK:
            raise OvertoneError(f"{self._name} peaks at {peak:.3g} times full scale; that is not sound")
        return peak


def analyze(
    samples: np.ndarray,
    rate: int,
    cutoff: float | None = None,
    passages: bool = False,
    noise: bool = True,
    balance: bool = False,
) -> Analysis:
    """Measure (channels, time) float32 samples; arguments as for `Analyzer`."""
    analyzer = Analyzer(rate, len(samples), cutoff, passages, noise, balance=balance)
    for start in range(0, samples.shape[1], BLOCK):
        analyzer.add(samples[:, start : start + BLOCK])
    return analyzer.finish()


@dataclass(frozen=True)
class RestorerOptions:
    """Options of restoring an analyzed input.

    Attributes:
        separator: restores stem by stem, if given.
        findings: where the separation's findings are added up; new ones if not given.
        keep_low: False gives the network's output in all bands, without the input's low band.
        curve: gain of the added band over frequency (`overtone.restoration.reference.gain_curve`).
        apart: True gives the input and the added band one below the other, as for `Restorer`; not stem by
            stem, and not where nothing is restored.
    """

    separator: Separator | None = None
    findings: Findings | None = None
    keep_low: bool = True
    curve: GainCurve | None = None
    apart: bool = False


DEFAULTS = RestorerOptions()


def open_restorer(
    analysis: Analysis,
    net: Network | None,
    out_rate: int | None = None,
    options: RestorerOptions = DEFAULTS,
) -> Stream:
    """Open the stream that restores an input.

    Args:
        analysis: of the input.
        net: the network, on its device; not used where `Analysis.needs_restoring` is False.
        out_rate: the output's rate in Hz; by default as for `Restorer`.
        options: of the restorer.

    Raises:
        OvertoneError: as of `Restorer`.
    """
    curve = options.curve
    if net is None or not analysis.needs_restoring or (curve is not None and curve.off):
        return Unchanged(analysis.rate, analysis.channels, out_rate)
    common = analysis.rate, analysis.channels, analysis.cutoff.hz, analysis.peak, out_rate, options.keep_low
    # The network's own output, in all bands, is that above the cutoff.
    rolloff = analysis.rolloff if options.keep_low else None
    if options.separator is not None:
        return StemsRestorer(options.separator, net, *common, options.findings, curve, rolloff=rolloff)
    return Restorer(
        net,
        *common,
        spans=analysis.spans or None,
        floors=analysis.floors,
        curve=curve,
        apart=options.apart,
        rolloff=rolloff,
    )
