"""List the networks of PyTorch by name; build, save and load them.

A saved model is a folder: ``weights.safetensors``, and ``model.json`` with the settings that rebuild the
network (`overtone.models.saved`).
"""

import functools
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as serialized

from overtone.core.errors import OvertoneError
from overtone.core.params import check_choice
from overtone.models.network import TrainedNetwork, for_side
from overtone.models.nuwave2 import NuWave2, NuWave2Settings
from overtone.models.saved import CARD, FORMAT, SHIPPED, SIDE, WEIGHTS, other_version, read_model, split_side
from overtone.models.spectral import Spectral
from overtone.models.spectral_settings import SpectralSettings
from overtone.models.unet import UNet, UNetSettings

__all__ = [
    "MODELS",
    "SHIPPED",
    "ModelSettings",
    "Network",
    "build",
    "for_side",
    "load",
    "load_shipped",
    "save",
]

Network = UNet | Spectral | NuWave2
# By ``model.name``: the class of the network, and that of its settings, the group ``model.NAME``.
MODELS: dict[str, tuple[type[TrainedNetwork], type[Any]]] = {
    "unet": (UNet, UNetSettings),
    "spectral": (Spectral, SpectralSettings),
    "nuwave2": (NuWave2, NuWave2Settings),
}


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
    (folder / WEIGHTS).write_bytes(serialized(weights))
    card = {"format": FORMAT, "name": name, "settings": asdict(net.settings), "about": about}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load(folder: str | Path) -> tuple[Network, dict[str, Any]]:
    """Load a saved network in evaluation mode, with what `save` was told ``about`` it.

    Raises:
        OvertoneError: the folder holds no model, or a damaged one, or one of another version.
    """
    folder = Path(folder)
    saved = read_model(folder)
    if saved.name not in MODELS:
        raise other_version(folder)
    network, settings = MODELS[saved.name]
    if not saved.settings.keys() <= {field.name for field in fields(settings)}:
        raise other_version(folder)
    weights, side = split_side(saved.weights)
    try:
        net = cast(Network, network(settings(**saved.settings)))
        net.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        if side:
            cast(Spectral, net).give_side({name: torch.from_numpy(value) for name, value in side.items()})
    except (AttributeError, RuntimeError, TypeError, ValueError, OvertoneError) as error:
        raise OvertoneError(f"the model in {folder} is damaged: {str(error).splitlines()[0]}") from None
    return net.eval(), saved.about


@functools.cache
def load_shipped() -> tuple[Network, dict[str, Any]]:
    """Load the shipped network, once, as `load` does."""
    return load(SHIPPED)
