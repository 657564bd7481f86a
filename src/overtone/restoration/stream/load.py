"""Load the network that restores, onto its device."""

import copy
import functools
from pathlib import Path

import torch

from overtone.models import registry
from overtone.models.device import choose_device
from overtone.models.registry import Network


def open_model(model: str | Path | Network | None, device: str | torch.device | None) -> Network:
    """Load the network of a folder (the shipped one if None) onto a device, ready to run.

    A network is used as it is, where it is, unless a device is named; then it is copied there.

    Raises:
        OvertoneError: the folder holds no model that can be loaded, or the device is not here.
    """
    chosen = choose_device(None if device is None else str(device))
    if isinstance(model, torch.nn.Module):
        return model if device is None else _copy_to(model, chosen)
    return _shipped(chosen) if model is None else registry.load(model)[0].to(chosen)


@functools.cache
def _shipped(device: torch.device) -> Network:
    """Load the shipped network onto a device, once."""
    return _copy_to(registry.load_shipped()[0], device)


def _copy_to(net: Network, device: torch.device) -> Network:
    """Return the network, or a copy of it if it is on another device, as others may be using it there."""
    return net if next(net.parameters()).device == device else copy.deepcopy(net).to(device)
