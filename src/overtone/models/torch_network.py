"""Run a network of PyTorch as a stream of NumPy samples: the part of `overtone.models.network` in PyTorch."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from overtone.models.device import fast_in_bfloat16


class TensorStream(Protocol):
    """Restores one signal of any length, a block at a time, as `overtone.models.network.Stream` does."""

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind the input at most."""
        ...

    def __call__(self, samples: Tensor, last: bool) -> Tensor:
        """Take (1, time) samples, any number of them; return those that are ready, at the last call all."""
        ...


class TorchNetwork(nn.Module):
    """A network of PyTorch that restores streams.

    Attributes:
        half_precision: whether restoring may run it under bfloat16 autocast.
    """

    half_precision = False

    def signal_stream(self, cutoff: float) -> TensorStream:
        """Open the stream of one signal, of tensors on the network's device; cutoff in Hz."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.parameters()).device

    @property
    def on_processor(self) -> bool:
        """True if it runs on the processor, not on a GPU."""
        return self.device.type == "cpu"

    @property
    def threads(self) -> int:
        """Threads that its streams may use together."""
        return torch.get_num_threads() if self.on_processor else 1

    def stream(self, cutoff: float, threads: int = 1) -> "TorchStream":
        """Open the stream of one signal, as `overtone.models.network.Network` says."""
        half = self.half_precision and fast_in_bfloat16(self.device)
        return TorchStream(self.signal_stream(cutoff), self.device, half, threads)


class TorchStream:
    """A stream of tensors behind NumPy arrays.

    Args:
        stream: of tensors on the device.
        device: where it runs.
        half: whether it runs under bfloat16 autocast.
        threads: number that it may use on the processor.
    """

    def __init__(self, stream: TensorStream, device: torch.device, half: bool, threads: int) -> None:
        self._stream, self._device, self._half, self._threads = stream, device, half, threads

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind the input at most."""
        return self._stream.latency

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take (1, time) samples, any number of them; return those that are ready, at the last call all."""
        tensor = torch.from_numpy(np.ascontiguousarray(samples)).to(self._device)
        autocast = torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half)
        with threads_limited(self._threads), autocast:
            restored: np.ndarray = self._stream(tensor, last).cpu().numpy()
        return restored


@contextlib.contextmanager
def threads_limited(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for the operations of the calling thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
