"""Weights of a network that are other ones for the side of stereo, and copies under other settings."""

import copy
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from overtone.models.saved import SIDE
from overtone.models.torch_network import TorchNetwork


class SideWeights(TorchNetwork):
    """A network that may have weights of its own for the side of stereo.

    Attributes:
        settings: that built it.
        side: the network for the side, or None; weights that are equal are shared in memory.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.side: Self | None = None

    def under(self, settings: Any) -> Self:
        """Copy the network under other settings: as many blocks or more, other harmonics.

        Further blocks begin at a scale of 0, so that they change nothing at first.
        """
        other = type(self)(settings)
        weights = self.without_side()
        other.load_state_dict(other.state_dict() | weights)
        for name, weight in other.named_parameters():
            if name not in weights and name.endswith("scale"):
                nn.init.zeros_(weight)
        if self.side is not None:
            other.give_side(self.side.under(settings).state_dict())
        return other

    def without_side(self) -> dict[str, Tensor]:
        """Return the weights, except for those of `side`."""
        return {name: weight for name, weight in self.state_dict().items() if not name.startswith(SIDE)}

    def give_side(self, weights: dict[str, Tensor]) -> None:
        """Add a network for the side of stereo that has these weights, by name; equal weights are shared.

        Raises:
            RuntimeError: a weight has another name or shape than the network's.
        """
        self.side = None
        side = cast(Self, copy.deepcopy(self))
        side.load_state_dict(self.state_dict() | weights)
        shared = {
            name: weight
            for name, weight in self.named_parameters()
            if torch.equal(weight, side.get_parameter(name))
        }
        side.load_state_dict(shared, strict=False, assign=True)
        self.side = side
