"""The contract that every network keeps: what restoring and training ask of it.

A network maps samples whose content ends at a cutoff to samples with a high band, at 44.1 kHz. To add one,
write a module with these members, and name it and its settings in `overtone.models.registry`.
"""

from typing import Any, Protocol, runtime_checkable

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

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples, any number of them; return those that are ready, at the last call all."""
        ...


class NetworkContract(Protocol):
    """Name the members that restoring needs of a network, which is also a `torch.nn.Module`.

    A network whose output samples depend on a bounded ``context`` takes its stream from
    `overtone.models.windowed`, which asks for ``context`` and ``stride`` too.

    Args:
        settings: a group under ``model`` of params.yaml, as a dataclass.

    Attributes:
        settings: the same.
        half_precision: whether restoring may run the network under bfloat16 autocast.
    """

    settings: Any
    half_precision: bool

    def __init__(self, settings: Any) -> None: ...

    def stream(self, cutoff: float) -> Stream:
        """Return what restores a signal whose content ends at a cutoff in Hz, a block at a time."""
        ...

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore (batch, time) samples whose content ends at (batch,) in Hz, in one call."""
        ...


@runtime_checkable
class OwnLoss(Protocol):
    """A network that is trained on something other than its output, as a diffusion model is on noise."""

    def training_loss(self, degraded: Tensor, original: Tensor, cutoff: Tensor, seeds: list[int]) -> Tensor:
        """Return the mean loss of (batch, time) segments; what is random in a segment comes from its seed."""
        ...
