"""List the networks by name; build, save and load them.

A saved model is a folder: ``weights.safetensors``, and ``model.json`` with the settings that rebuild the
network.
"""

import functools
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialized

from overtone.core.errors import OvertoneError
from overtone.core.params import check_choice
from overtone.models.network import NetworkContract
from overtone.models.nuwave2 import NuWave2, NuWave2Settings
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.spectral_side import SIDE
from overtone.models.unet import UNet, UNetSettings

Network = UNet | Spectral | NuWave2
# By ``model.name``: the class of the network, and that of its settings, the group ``model.NAME``.
MODELS: dict[str, tuple[type[NetworkContract], type[Any]]] = {
    "unet": (UNet, UNetSettings),
    "spectral": (Spectral, SpectralSettings),
    "nuwave2": (NuWave2, NuWave2Settings),
}

# The model that comes with the package.
SHIPPED = Path(__file__).parents[1] / "shipped"

# Raised when a saved model's JSON changes its meaning.
FORMAT = 1


@dataclass(frozen=True)
class ModelSettings:
    """The group ``model`` of params.yaml: a name, and each architecture's own settings."""

    name: str
    unet: UNetSettings
    spectral: SpectralSettings
    nuwave2: NuWave2Settings

    def __post_init__(self) -> None:
        check_choice("model.name", self.name, MODELS)


def build(settings: ModelSettings) -> Network:
    """Build the network that the settings name, with fresh weights."""
    network, _ = MODELS[settings.name]
    return cast(Network, network(getattr(settings, settings.name)))


def save(net: Network, name: str, folder: Path, about: dict[str, Any]) -> None:
    """Write a network as weights (safetensors) and the JSON that rebuilds it.

    Args:
        net: the network.
        name: its key in ``MODELS``.
        folder: where to write; created if it does not exist.
        about: how it was trained and scored, in plain values; kept as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous() for key, value in net.state_dict().items()}
    # Weights that the network for the side shares with the other are written once.
    for own in [key for key in weights if key.startswith(SIDE)]:
        if torch.equal(weights[own], weights[own.removeprefix(SIDE)]):
            del weights[own]
    # safetensors would write a file that only its owner may read.
    (folder / "weights.safetensors").write_bytes(serialized(weights))
    card = {"format": FORMAT, "name": name, "settings": asdict(net.settings), "about": about}
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Raise unless a folder has the files of a saved network."""
    for name in ("model.json", "weights.safetensors"):
        if not (folder / name).is_file():
            raise OvertoneError(f"{folder} holds no model: {name} is missing")


def load(folder: str | Path) -> tuple[Network, dict[str, Any]]:
    """Load a saved network in evaluation mode, with what `save` was told ``about`` it.

    Raises:
        OvertoneError: the folder holds no model, or a damaged one, or one of another version.
    """
    folder = Path(folder)
    check_folder(folder)
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "weights.safetensors")
    except (OSError, SafetensorError, ValueError) as error:
        raise OvertoneError(f"the model in {folder} is damaged: {error}") from None
    if not _of_this_version(card):
        raise OvertoneError(f"the model in {folder} is of another version of overtone; train it again")
    network, settings = MODELS[card["name"]]
    try:
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in card["settings"].items()}
        net = cast(Network, network(settings(**values)))
        side = {name.removeprefix(SIDE): weights.pop(name) for name in list(weights) if name.startswith(SIDE)}
        net.load_state_dict(weights)
        if side:
            cast(Spectral, net).give_side(side)
        about = dict(card["about"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError, OvertoneError) as error:
        raise OvertoneError(f"the model in {folder} is damaged: {str(error).splitlines()[0]}") from None
    return net.eval(), about


def for_side(net: Network) -> Network:
    """Return the network for the side of stereo: the same one, unless it has other weights there."""
    return net.side if isinstance(net, Spectral) and net.side is not None else net


def _of_this_version(card: Any) -> bool:
    """Return whether a saved model's JSON has this format, and names a network and settings known here."""
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("name") not in list(MODELS):
        return False
    known = {field.name for field in fields(MODELS[card["name"]][1])}
    given = card.get("settings")
    # Settings that are no mapping are damaged in any version.
    return not isinstance(given, dict) or given.keys() <= known


@functools.cache
def load_shipped() -> tuple[Network, dict[str, Any]]:
    """Load the shipped network, once, as `load` does."""
    return load(SHIPPED)
