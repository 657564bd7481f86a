"""Choose the device and the precision that networks run in, and compile them where that is asked for."""

import os
import shutil
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from overtone.core.errors import OvertoneError


def choose_device(asked: str | None = None) -> torch.device:
    """Return the device asked for, else ``OVERTONE_DEVICE``, else CUDA, else Apple's MPS, else the CPU.

    Raises:
        OvertoneError: this machine has no such device.
    """
    name, key = (asked, "the device") if asked else (os.environ.get("OVERTONE_DEVICE"), "OVERTONE_DEVICE")
    if name:
        there = ["cpu"]
        if torch.cuda.is_available():
            there += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        if name not in there:
            raise OvertoneError(
                f"{key} is {name!r}, which cannot be used here; "
                f"of cpu, cuda and mps there is {', '.join(there)}"
            )
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_in_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices much faster than float32.

    AVX512-BF16 alone is not enough: without AMX the spectral network ran at 114 times real time in
    bfloat16 and at 158 in float32, and the U-Net trained no faster (bench/results/training.md).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def choose_precision(asked: str, device: torch.device) -> str:
    """Resolve ``auto``: bfloat16 where the device is fast in it, else float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if fast_in_bfloat16(device) else "float32"


@runtime_checkable
class PartlyCompiled(Protocol):
    """A network of which only a part is worth compiling."""

    def core(self) -> nn.Module:
        """Return that part."""
        ...


def compile_where_asked(net: nn.Module) -> None:
    """Compile a network by `torch.compile`, in place, where ``OVERTONE_COMPILE`` is 1.

    A network that is `PartlyCompiled` has its core compiled alone, for signals of any length.

    Raises:
        OvertoneError: the variable is neither 0 nor 1, or there is no C++ compiler.
    """
    asked = os.environ.get("OVERTONE_COMPILE", "0")
    if asked not in ("0", "1"):
        raise OvertoneError(
            f"OVERTONE_COMPILE is {asked!r}; it is 1 to compile the network in training, or 0"
        )
    if asked == "0":
        return
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise OvertoneError(f"OVERTONE_COMPILE is 1, which needs a C++ compiler, and {compiler} is not here")
    if isinstance(net, PartlyCompiled):
        net.core().compile(dynamic=True)
    else:
        net.compile()
