"""Turn the page's controls into one impulse response for the added band."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from overtone.core.errors import OvertoneError

# What the page's sliders reach, in dB, and the most that the whole curve may change.
BRIGHTNESS, AMOUNT, LIMIT = 12.0, 12.0, 24.0
HALF = 1024  # taps on each side of the middle


@dataclass(frozen=True)
class Controls:
    """The settings of the added band.

    Attributes:
        brightness: dB at one octave above the cutoff, a tilt.
        amount: dB; None adds nothing.
        top: Hz above which nothing is added; None for no limit.
        strength: how much of the reference's correction is applied, 0 to 1.
    """

    brightness: float = 0.0
    amount: float | None = 0.0
    top: float | None = None
    strength: float = 1.0


NEUTRAL = Controls()


def read_controls(values: object) -> Controls:
    """Read controls that the page sent as JSON.

    Raises:
        OvertoneError: they are not what the page sends.
    """
    if not isinstance(values, dict) or not values.keys() <= {"brightness", "amount", "top", "strength"}:
        raise OvertoneError("the controls are brightness, amount, top and strength")
    amount, top = values.get("amount", 0.0), values.get("top")
    return Controls(
        _number("brightness", values.get("brightness", 0.0), -BRIGHTNESS, BRIGHTNESS),
        None if amount is None else _number("amount", amount, -AMOUNT, AMOUNT),
        None if top is None else _number("top", top, 500.0, 96000.0),
        _number("strength", values.get("strength", 1.0), 0.0, 1.0),
    )


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise OvertoneError(f"{name} is a number from {least:g} to {most:g}")
    return float(value)


def impulse_response(controls: Controls, cutoff: float, rate: int) -> np.ndarray:
    """Compute the linear-phase filter of the added band. Shape: (2 * HALF + 1,).

    The gain in dB is amount + brightness * log2(frequency / cutoff) above the cutoff, within LIMIT; above
    ``top`` it is zero.
    """
    taps = np.zeros(2 * HALF + 1, np.float32)
    if controls.amount is None:
        return taps
    if controls == NEUTRAL:
        taps[HALF] = 1
        return taps
    frequency = np.fft.rfftfreq(8 * HALF, 1 / rate)
    octaves = np.log2(np.maximum(frequency, cutoff) / cutoff)
    level = np.clip(controls.amount + controls.brightness * octaves, -LIMIT, LIMIT)
    gain = 10 ** (level / 20) * (frequency <= (controls.top or math.inf))
    response = np.roll(np.fft.irfft(gain), HALF)[: 2 * HALF + 1]
    return (response * np.kaiser(2 * HALF + 1, 8.96)).astype(np.float32)
