"""Restore samples in memory: NumPy arrays and tensors of any shape and type."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from array_api_compat import is_torch_array

from overtone.core.errors import OvertoneError
from overtone.models.network import Network
from overtone.restoration.reference import Recording, gain_curve, open_reference
from overtone.restoration.stream.added_band import Controls
from overtone.restoration.stream.analysis import RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.limits import BLOCK, MAX_CHANNELS, check_output, check_rate
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.narrowband import check_alone
from overtone.restoration.stream.resampling import Unchanged

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Samples = TypeVar("Samples", np.ndarray, "Tensor")


def restore(
    samples: Samples,
    rate: int,
    *,
    cutoff: float | None = None,
    model: str | Path | Network | None = None,
    out_rate: int | None = None,
    device: "str | torch.device | None" = None,
    parts: bool = False,
    like: "str | Path | np.ndarray | Tensor | Recording | None" = None,
    strength: float | None = None,
    brightness: float = 0.0,
    amount: float = 0.0,
    top: float | None = None,
) -> Samples:
    """Restore the band above the cutoff of samples in memory.

    Integers span full scale (unsigned ones around their middle) and are clipped there. Input that is full
    band, silent or without a clear cutoff is returned as it is, at the output's rate.

    Args:
        samples: (time,) or (channels, time): a NumPy array or a tensor on any device, of any float or integer
            type.
        rate: its rate in Hz, 8,000 to 192,000.
        cutoff: frequency in Hz above which to predict the band; measured if not given.
        model: a folder that the pipeline's train stage wrote, or a network; by default the shipped one.
        out_rate: the output's rate in Hz; by default 48,000 if the input's rate is of that family, else
            44,100 (``default_rate``).
        device: of the network; by default the processor for the shipped one, else a GPU if there is one.
        parts: whether to look for narrowband passages (`overtone.restoration.stream.narrowband`) and restore
            those alone; if there are none, everything is restored.
        like: a reference, of whose kind the added band is to be: a file, or samples at the same rate.
        strength: share of its correction that is applied, 0 to 1; by default by how alike the recordings are.
        brightness: tilt of the added band, in dB at one octave above the cutoff.
        amount: level of the added band in dB, or `overtone.restoration.stream.added_band.OFF`.
        top: Hz above which nothing is added.

    Returns:
        The input's kind, type and device; shape (time,) or (channels, time), round(time * out_rate / rate)
        samples.

    Raises:
        OvertoneError: the samples, a rate, the cutoff, the model, the device, the reference or a control
            cannot be used.

    Example:
        >>> speech = np.random.default_rng(0).normal(0, 3000, (2, 16000)).astype(np.int16)
        >>> restored = restore(speech, 8000)
        >>> restored.shape, restored.dtype
        ((2, 96000), dtype('int16'))
    """
    wave = _to_wave(samples, rate)
    controls = Controls(strength, brightness, amount, top)
    reference: Any = _to_wave(like, rate) if _is_array(like) else like
    recording = open_reference(reference, rate)
    if parts:
        check_alone(cutoff)
    analysis = analyze(wave, rate, cutoff, parts, balance=recording is not None)
    net = open_model(model, device) if analysis.needs_restoring else None
    curve = None if net is None else gain_curve(analysis, net, controls, recording)
    stream = open_restorer(analysis, net, out_rate, RestorerOptions(curve=curve))
    if isinstance(stream, Unchanged) and stream.out_rate == rate:
        return samples.clone() if is_torch_array(samples) else samples.copy()
    blocks: list[np.ndarray] = [
        stream.process(wave[:, at : at + BLOCK]) for at in range(0, wave.shape[1], BLOCK)
    ]
    restored = check_output(np.concatenate([*blocks, stream.flush()], axis=1))
    return _from_wave(restored if samples.ndim == 2 else restored[0], samples)


def _to_wave(samples: Any, rate: int) -> np.ndarray:
    """Convert samples to (channels, time) float32.

    Raises:
        OvertoneError: their kind, shape or type, or their rate, cannot be used.
    """
    if not _is_array(samples):
        raise OvertoneError(f"the samples are a {type(samples).__name__}; it is a NumPy array or a tensor")
    shape = tuple(samples.shape)
    if len(shape) not in (1, 2) or 0 in shape or shape[-1] < 2:
        raise OvertoneError(
            f"the samples have shape {shape}; it is (time,) or (channels, time), 2 samples or more"
        )
    if len(shape) == 2 and shape[0] > min(MAX_CHANNELS, shape[1]):
        raise OvertoneError(
            f"the samples have shape {shape}, which is {shape[0]} channels; the shape is (channels, time), "
            f"up to {MAX_CHANNELS} channels: transpose them"
        )
    check_rate(rate)
    return np.atleast_2d(_to_float(samples.detach().cpu() if is_torch_array(samples) else samples))


def _is_array(samples: Any) -> bool:
    """Return whether samples are a NumPy array or a tensor, without importing PyTorch."""
    return isinstance(samples, np.ndarray) or is_torch_array(samples)


def _to_float(samples: Any) -> np.ndarray:
    """Convert a NumPy array or a tensor to float32, integers to -1 to 1."""
    if is_torch_array(samples):
        samples = samples.float().numpy() if samples.is_floating_point() else samples.numpy()
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(samples, np.float32, order="C")
    if samples.dtype.kind not in "iu":
        raise OvertoneError(f"the samples are of type {samples.dtype}; it is a float or an integer type")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = half if samples.dtype.kind == "u" else 0.0
    return np.asarray((samples.astype(np.float64) - middle) / half, np.float32, order="C")


def _from_wave(wave: np.ndarray, samples: Samples) -> Samples:
    """Convert a float32 wave to the kind, type and device of the samples."""
    if is_torch_array(samples):
        if samples.is_floating_point():
            return _tensor(wave).to(samples)
        kind = samples[:0].cpu().numpy().dtype
        return _tensor(_to_integer(wave, kind)).to(samples.device)
    if samples.dtype.kind == "f":
        return wave.astype(samples.dtype)
    return _to_integer(wave, samples.dtype)


def _tensor(wave: np.ndarray) -> "Tensor":
    import torch

    return torch.from_numpy(wave)


def _to_integer(wave: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Convert a float32 wave to an integer type at full scale, rounded and clipped."""
    half = 2.0 ** (8 * kind.itemsize - 1)
    middle = half if kind.kind == "u" else 0.0
    # The largest integer of 64 bits is no float64; the float64 below it is.
    top = min(middle + half - 1, np.nextafter(middle + half, 0))
    return np.clip(np.rint(wave.astype(np.float64) * half) + middle, middle - half, top).astype(kind)
