"""Turn the page's controls and a reference into the impulse response of the added band."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from overtone.app.library import Item
from overtone.core.errors import OvertoneError
from overtone.restoration.reference import corrected_curve
from overtone.restoration.stream.added_band import OFF, Band, Controls, GainCurve, impulse_response

NAMES = {"strength", "brightness", "amount", "top"}


@dataclass(frozen=True)
class Reference:
    """The measurement of a reference recording for one item.

    Attributes:
        bands: the correction at full strength.
        strength: the share of it that suits the two recordings.
    """

    bands: tuple[Band, ...]
    strength: float


def read_controls(values: object) -> Controls:
    """Read controls that the page sent as JSON; an amount of null is `OFF`.

    Raises:
        OvertoneError: they are not what the page sends, or out of range.
    """
    if not isinstance(values, dict) or not values.keys() <= NAMES:
        raise OvertoneError(f"the controls are {', '.join(sorted(NAMES))}")
    amount = values.get("amount", 0.0)
    return Controls(
        strength=_number(values.get("strength"), "strength"),
        brightness=_number(values.get("brightness", 0.0), "brightness") or 0.0,
        amount=OFF if amount is None else _number(amount, "amount") or 0.0,
        top=_number(values.get("top"), "top"),
    )


def _number(value: Any, name: str) -> float | None:
    # Beyond a million no control has a meaning, and float() fails for some integers.
    if value is None or (type(value) in (int, float) and abs(value) < 1e6):
        return None if value is None else float(value)
    raise OvertoneError(f"the {name} is a number")


def taps_of(item: Item, controls: Controls) -> np.ndarray:
    """Compute the linear-phase taps that an item's added band passes. Shape: (taps,).

    Raises:
        OvertoneError: the top lies below the cutoff.
    """
    start, reference = item.facts["start"], item.reference
    curve = GainCurve(start, controls)
    if reference is not None and controls.amount != OFF:
        curve = corrected_curve(start, controls, reference.bands, reference.strength)
    return impulse_response(curve, item.facts["rate"])
