"""Turn the controls of the added band into one gain curve over frequency.

::

    dB
    +6 |            brightness: so many dB at one octave above the cutoff, as many again at the next
     0 |------------.-----.-----.      bands: what a reference recording changes, 700 Hz each
    -6 |            :      `-----`--.
       |  the input : the added band :    top: nothing is added above it
       +------------+----------------+----- Hz
                 cutoff             top

The curve is realised as linear-phase taps (`impulse_response`), which the added band is convolved with behind
the crossover (`overtone.restoration.stream.curve_filter`): 1.1 ms for a second of stereo, 2 to 3 % of a run.
Convolving the crossover's own taps with them would cost nothing, but the page, which has the added band
alone, would differ in the first and last 23 ms by -70 dB.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.restoration.stream.crossover import BETA, CROSSOVER_FFT, CROSSOVER_HZ, TAPS, lowpass_taps

# An amount of so many dB adds nothing.
OFF = -math.inf
# Beyond this a control is a mistake.
MOST_DB = 40.0
LOWEST_TOP_HZ = 1_000.0
# Bands of a reference that are said together in a line.
GROUPED = 4


class Band(NamedTuple):
    """Change the level between two frequencies in Hz by so many dB."""

    low: float
    high: float
    decibels: float


@dataclass(frozen=True)
class Controls:
    """Set level, tilt and end of the added band.

    Attributes:
        strength: share of a reference's correction that is applied, 0 to 1; None leaves it to how alike the
            recordings are (`overtone.restoration.reference`).
        brightness: dB at one octave above the cutoff, a tilt; 0 at the cutoff.
        amount: dB, for all of the added band; `OFF` adds nothing.
        top: Hz above which nothing is added; None for no such limit.

    Raises:
        OvertoneError: a value is out of range.
    """

    strength: float | None = None
    brightness: float = 0.0
    amount: float = 0.0
    top: float | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise OvertoneError(f"the strength is {self.strength:g}; it is 0 to 1")
        if not abs(self.brightness) <= MOST_DB:
            raise OvertoneError(
                f"the brightness is {self.brightness:g} dB; it is -{MOST_DB:g} to {MOST_DB:g}"
            )
        if self.amount != OFF and not abs(self.amount) <= MOST_DB:
            raise OvertoneError(
                f"the amount is {self.amount:g} dB; it is -{MOST_DB:g} to {MOST_DB:g}, or off"
            )
        if self.top is not None and not LOWEST_TOP_HZ <= self.top < math.inf:
            raise OvertoneError(f"the top is {self.top:g} Hz; it is {LOWEST_TOP_HZ:g} or more")


@dataclass(frozen=True)
class GainCurve:
    """Change the gain of the added band over frequency.

    Attributes:
        cutoff: where the added band begins, in Hz.
        controls: the listener's; of them `Controls.strength` is that of the bands.
        bands: what a reference changes at that strength, in order, one beside the other.
    """

    cutoff: float
    controls: Controls = field(default_factory=Controls)
    bands: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        top = self.controls.top
        if top is not None and top < self.cutoff + 2 * CROSSOVER_HZ:
            raise OvertoneError(
                f"the top is {top:g} Hz, and the added band begins at {self.cutoff:.0f} Hz: name a higher one"
            )

    @property
    def off(self) -> bool:
        """True if nothing is added."""
        return self.controls.amount == OFF

    @property
    def flat(self) -> bool:
        """True if the added band stays as it is."""
        return self == GainCurve(self.cutoff, Controls(strength=self.controls.strength))

    def decibels(self, hertz: np.ndarray) -> np.ndarray:
        """Compute the gain in dB at frequencies in Hz, without the end at the top; level below the cutoff.

        Between the middles of the bands it is interpolated, and beyond the outermost it is level.
        """
        octaves = np.log2(np.maximum(hertz, self.cutoff) / self.cutoff)
        gain: np.ndarray = self.controls.amount + self.controls.brightness * octaves
        if self.bands:
            middles = [(band.low + band.high) / 2 for band in self.bands]
            gain = gain + np.interp(hertz, middles, [band.decibels for band in self.bands])
        return gain

    def line(self) -> str:
        """Summarize the curve as a clause, with a reference's bands four at a time."""
        controls, said = self.controls, []
        if self.bands:
            groups = [self.bands[at : at + GROUPED] for at in range(0, len(self.bands), GROUPED)]
            changes = [
                f"from {group[0].low / 1000:.1f} kHz {np.mean([band.decibels for band in group]):+.1f} dB"
                for group in groups
            ]
            said.append(f"by the reference at strength {controls.strength:.2f} ({', '.join(changes)})")
        if controls.brightness:
            said.append(f"brightness {controls.brightness:+g} dB")
        if controls.amount:
            said.append(f"amount {controls.amount:+g} dB")
        if controls.top is not None:
            said.append(f"nothing above {controls.top / 1000:.3g} kHz")
        return ", ".join(said)

    def json(self) -> dict[str, Any]:
        """Return the curve as plain values."""
        controls = self.controls
        return {
            "strength": controls.strength,
            "brightness": controls.brightness,
            "amount": "off" if self.off else controls.amount,
            "top": controls.top,
            "bands": [band._asdict() for band in self.bands],
        }


def impulse_response(curve: GainCurve, rate: int = MODEL_RATE) -> np.ndarray:
    """Design linear-phase taps of a gain curve: convolved with the added band they change it by the curve.

    The middle tap is at time 0. The taps last as long at every rate: 1024 to each side at 44.1 kHz.

    Shape:
        -> (2 * taps + 1,), float32.
    """
    taps = round(TAPS * rate / MODEL_RATE)
    if curve.off:
        return np.zeros(2 * taps + 1, np.float32)
    size = CROSSOVER_FFT * math.ceil(rate / MODEL_RATE)
    gain = 10 ** (curve.decibels(np.fft.rfftfreq(size, 1 / rate)) / 20)
    if curve.controls.top is not None:
        # It ends at the top as the added band begins at the cutoff.
        lowpass = lowpass_taps(curve.controls.top - CROSSOVER_HZ, rate)
        gain = gain * np.abs(np.fft.rfft(lowpass, size))
    response = np.roll(np.fft.irfft(gain, size), taps)[: 2 * taps + 1]
    # The ends are faded like the crossover's own.
    return (response * np.kaiser(2 * taps + 1, BETA)).astype(np.float32)
