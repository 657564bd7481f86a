"""Load the network that restores, onto its device."""

import copy
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overtone.core.errors import OvertoneError, need
from overtone.models.network import Network
from overtone.models.saved import SHIPPED, read_model

if TYPE_CHECKING:
    import torch


def open_model(model: str | Path | Network | None, device: "str | torch.device | None") -> Network:
    """Load the network of a folder (the shipped one if None) onto a device, ready to run.

    The shipped one runs by ONNX Runtime on the processor, unless another device is named here or by
    ``OVERTONE_DEVICE``. All else runs by PyTorch. A network is used as it is, where it is, unless a device is
    named; then it is copied there.

    Raises:
        OvertoneError: the folder holds no model that can be loaded, the device is not here, or PyTorch is
            needed and not installed.
    """
    named = str(device or os.environ.get("OVERTONE_DEVICE") or "cpu")
    if model is None and named == "cpu":
        return _shipped()
    if not isinstance(model, str | Path | None):
        return model if device is None else _copy_to(model, named)
    _need_torch("a model of one's own" if model else f"the device {named}")
    from overtone.models import registry
    from overtone.models.device import choose_device

    chosen = choose_device(None if device is None else str(device))
    return _shipped_by_torch(chosen) if model is None else registry.load(model)[0].to(chosen)


@functools.cache
def _shipped() -> Network:
    """Load the shipped network by ONNX Runtime, once."""
    from overtone.models.spectral_onnx import open_network

    return open_network(read_model(SHIPPED), SHIPPED)


@functools.cache
def _shipped_by_torch(device: "torch.device") -> Network:
    """Load the shipped network by PyTorch onto a device, once."""
    from overtone.models import registry

    return registry.load(SHIPPED)[0].to(device)


def _copy_to(net: Any, named: str) -> Network:
    """Return the network, or a copy of it if it is on another device, as others may be using it there."""
    if not hasattr(net, "parameters"):  # of no PyTorch
        if named != "cpu":
            raise OvertoneError(f"this network runs on the processor alone, not on {named}")
        return net  # type: ignore[no-any-return]
    from overtone.models.device import choose_device

    device = choose_device(named)
    moved: Network = net if net.device == device else copy.deepcopy(net).to(device)
    return moved


def _need_torch(what: str) -> None:
    """Raise OvertoneError, with what needs it, if PyTorch is not installed."""
    try:
        need("torch", "torch")
    except OvertoneError as error:
        raise OvertoneError(f"{what} needs PyTorch: {error}") from None
