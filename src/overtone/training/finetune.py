"""Start training from the weights of a saved model (``train.from``)."""

import hashlib
from dataclasses import replace
from pathlib import Path

from overtone.core.errors import OvertoneError
from overtone.core.params import plain
from overtone.models import registry
from overtone.models.registry import ModelSettings, Network
from overtone.models.spectral import Spectral

# The value of ``train.from`` for the model that comes with the package.
SHIPPED = "shipped"


def start(asked: str, settings: ModelSettings, written: Path) -> tuple[Network, dict[str, str]]:
    """Load the network to start from, if the settings describe it.

    A spectral network may have fewer blocks than the settings; further ones then begin by changing nothing.
    Its harmonics may be others, as they have no weights. Its weights for the side of stereo are dropped.

    Args:
        asked: ``train.from``: a model's folder, or ``shipped``.
        settings: the group ``model``.
        written: the folder that training writes to.

    Returns:
        The network, and its origin: ``folder`` as ``train.from`` has it, and the ``sha256`` of the weights.

    Raises:
        OvertoneError: the folder holds no good model, or one of another architecture or other settings.
    """
    folder = registry.SHIPPED if asked == SHIPPED else Path(asked)
    if folder.resolve() == written.resolve():
        # DVC has removed it by the time that the stage runs.
        raise OvertoneError(
            f"train.from is {asked!r}, where training writes its own model; copy it to another folder first"
        )
    try:
        net, _ = registry.load(folder)
    except OvertoneError as error:
        raise OvertoneError(f"train.from is {asked!r}: {error}") from None
    if isinstance(net, Spectral):
        net.side = None
        blocks = max(net.settings.blocks, settings.spectral.blocks)
        net = net.under(replace(net.settings, blocks=blocks, harmonics=settings.spectral.harmonics))
    differences = _differences(net, settings)
    if differences:
        raise OvertoneError(
            f"train.from is {asked!r}, another network than params.yaml describes: {', '.join(differences)}; "
            "set model.* to the model's own values"
        )
    weights = (folder / "weights.safetensors").read_bytes()
    return net, {"folder": asked, "sha256": hashlib.sha256(weights).hexdigest()}


def _differences(net: Network, settings: ModelSettings) -> list[str]:
    """Describe every key of params.yaml that differs from the network's settings."""
    name = next(name for name, (network, _) in registry.MODELS.items() if isinstance(net, network))
    if name != settings.name:
        return [f"model.name is {settings.name!r} there and {name!r} in the folder"]
    ours, theirs = plain(getattr(settings, name)), plain(net.settings)
    return [
        f"model.{name}.{key} is {_listed(ours[key])!r} there and {_listed(value)!r} in the folder"
        for key, value in theirs.items()
        if ours[key] != value
    ]


def _listed(value: object) -> object:
    """Return a tuple as the list that params.yaml has."""
    return list(value) if isinstance(value, tuple) else value
