"""The contract that every network keeps: what restoring and training ask of it.

A network maps samples whose content ends at a cutoff to samples with a high band, at 44.1 kHz. To add one,
write a module with these members, and name it and its settings in `overtone.models.registry`.
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Stream(Protocol):
    """Restores one signal of any length, a block at a time.

    Attributes:
        latency: samples by which the output lags behind the input at most.
    """

    @property
    def latency(self) -> int:
        """In samples."""
        ...

    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take (1, time) float32 samples, any number; return those that are ready, at the last call all."""
        ...


class Network(Protocol):
    """Name the members that restoring needs of a network, whatever library runs it.

    Attributes:
        side: the network for the side of stereo; without the attribute, or with None, it is the same.
    """

    @property
    def on_processor(self) -> bool:
        """True if it runs on the processor, not on a GPU."""
        ...

    @property
    def threads(self) -> int:
        """Threads that its streams may use together; 1 on a GPU, where they run one after the other."""
        ...

    def stream(self, cutoff: float, threads: int = 1) -> Stream:
        """Open the stream of one signal.

        Args:
            cutoff: where the signal's content ends, in Hz.
            threads: number that this stream may use.
        """
        ...


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def for_side(net: AnyNetwork) -> AnyNetwork:
    """Return the network for the side of stereo: the same one, unless it has other weights there."""
    side: AnyNetwork | None = getattr(net, "side", None)
    return net if side is None else side


class TrainedNetwork(Network, Protocol):
    """Name the members that training needs, too, of a network, which is also a `torch.nn.Module`.

    Most of restoring's members come from `overtone.models.torch_network.TorchNetwork`. A network whose output
    samples depend on a bounded ``context`` takes its stream from `overtone.models.windowed`, which asks for
    ``context`` and ``stride`` too.

    Args:
        settings: a group under ``model`` of params.yaml, as a dataclass.

    Attributes:
        settings: the same.
        half_precision: whether restoring may run the network under bfloat16 autocast.
    """

    settings: Any
    half_precision: bool

    def __init__(self, settings: Any) -> None: ...

    def forward(self, samples: "Tensor", cutoff: "Tensor") -> "Tensor":
        """Restore (batch, time) samples whose content ends at (batch,) in Hz, in one call."""
        ...


@runtime_checkable
class OwnLoss(Protocol):
    """A network that is trained on something other than its output, as a diffusion model is on noise."""

    def training_loss(
        self, degraded: "Tensor", original: "Tensor", cutoff: "Tensor", seeds: list[int]
    ) -> "Tensor":
        """Return the mean loss of (batch, time) segments; what is random in a segment comes from its seed."""
        ...
