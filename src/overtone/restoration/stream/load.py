"""TODO."""

import copy
import functools
from pathlib import Path

import torch

from overtone.models import registry
from overtone.models.device import choose_device
from overtone.models.registry import Network


def open_model(model: str | Path | Network | None, device: str | torch.device | None) -> Network:
    """The network that a folder holds (the shipped one if None), on its device, ready to run.

    A network is taken as it is, where it is, unless a device is named; then it is copied there.
    """
    place = choose_device(None if device is None else str(device))
    if isinstance(model, torch.nn.Module):
        return model if device is None else _copied(model, place)
    return _shipped(place) if model is None else registry.load(model)[0].to(place)


@functools.cache
def _shipped(place: torch.device) -> Network:
    """The shipped network on a device, loaded there once."""
    return _copied(registry.load_shipped()[0], place)


def _copied(net: Network, place: torch.device) -> Network:
    """The network, or where it lies elsewhere, a copy of it there: others may be at work with it."""
    return net if next(net.parameters()).device == place else copy.deepcopy(net).to(place)
