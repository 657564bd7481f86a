"""Read a saved model, a folder, without the library that runs it.

``weights.safetensors`` has the weights by name, ``model.json`` the settings that rebuild the network and what
is known of it.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from overtone.core.errors import OvertoneError

# The model that comes with the package.
SHIPPED = Path(__file__).parents[1] / "shipped"
CARD, WEIGHTS = "model.json", "weights.safetensors"
# Raised when a saved model's JSON changes its meaning.
FORMAT = 1
# The names of weights for the side of stereo begin with this.
SIDE = "side."


class SavedModel(NamedTuple):
    """The content of a model's folder.

    Attributes:
        name: the network's, of `overtone.models.registry.MODELS`.
        settings: of the network, as they were saved.
        weights: by name, of any float type.
        about: how it was trained and scored, in plain values.
    """

    name: str
    settings: dict[str, Any]
    weights: dict[str, np.ndarray]
    about: dict[str, Any]


def check_folder(folder: Path) -> None:
    """Raise unless a folder has the files of a saved network."""
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise OvertoneError(f"{folder} holds no model: {name} is missing")


def read_model(folder: str | Path) -> SavedModel:
    """Read a saved model.

    Raises:
        OvertoneError: the folder holds no model, or a damaged one, or one of another version.
    """
    folder = Path(folder)
    check_folder(folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError) as error:
        raise OvertoneError(f"the model in {folder} is damaged: {error}") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT or not isinstance(card.get("name"), str):
        raise other_version(folder)
    try:
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in card["settings"].items()}
        return SavedModel(card["name"], values, weights, dict(card["about"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OvertoneError(f"the model in {folder} is damaged: {error}") from None


def other_version(folder: Path) -> OvertoneError:
    """Return the error of a model that another version of overtone wrote."""
    return OvertoneError(f"the model in {folder} is of another version of overtone; train it again")


def split_side(weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Separate weights into those of the network, and those that are other ones for the side of stereo."""
    side = {name.removeprefix(SIDE): value for name, value in weights.items() if name.startswith(SIDE)}
    return {name: value for name, value in weights.items() if not name.startswith(SIDE)}, side
