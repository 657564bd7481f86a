"""An array in, an array out: any kind, shape and type of samples."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from overtone.audio.cutoff import Cutoff, SpectrumMeter
from overtone.core.errors import OvertoneError
from overtone.models.registry import Network
from overtone.restoration.stream.limits import (
    BLOCK,
    MAX_CHANNELS,
    MAX_PEAK,
    check_output,
    check_rate,
    needs_restoring,
)
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.narrowband import check_alone, find_passages
from overtone.restoration.stream.noise_floor import find_floors
from overtone.restoration.stream.restorer import Restorer, Unchanged

Samples = TypeVar("Samples", np.ndarray, Tensor)


def restore(
    samples: Samples,
    rate: int,
    *,
    cutoff: float | None = None,
    model: str | Path | Network | None = None,
    out_rate: int | None = None,
    device: str | torch.device | None = None,
    parts: bool = False,
) -> Samples:
    """Restore the band above the cutoff of (time,) or (channels, time) samples.

    Integers are taken at full scale (unsigned ones around their middle) and clipped there. Input that
    is full band, silent or without a clear cutoff comes back as it is, at the output's rate.

    Args:
        samples: a NumPy array or a tensor on any device, of any float or integer type.
        rate: its rate in Hz, 8,000 to 192,000.
        cutoff: frequency in Hz above which to make the band anew; found if not given.
        model: a folder that the pipeline's train stage wrote, or a network; by default the shipped one.
        out_rate: the output's rate in Hz; by default 48,000 if the input's rate is of that family,
            else 44,100 (``default_rate``).
        device: where the network runs; by default a GPU if there is one.
        parts: whether to look for parts that end lower than the rest
        (`overtone.restoration.stream.narrowband`), and to add treble
            there alone. Where there are none, all is restored as one.

    Returns:
        As the input in kind, type and device, shape (time,) or (channels, time), of
        round(time * out_rate / rate) samples.

    Raises:
        OvertoneError: the samples, a rate, the cutoff, the model or the device cannot be used.

    Example:
        >>> from overtone.models.registry import Spectral, SpectralSettings
        >>> net = Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()
        >>> speech = np.random.default_rng(0).normal(0, 3000, (2, 16000)).astype(np.int16)
        >>> restored = restore(speech, 8000, model=net)
        >>> restored.shape, restored.dtype
        ((2, 96000), dtype('int16'))
    """
    if not isinstance(samples, np.ndarray | Tensor):
        raise OvertoneError(f"the samples are a {type(samples).__name__}; it is a NumPy array or a tensor")
    given = samples.detach().cpu() if isinstance(samples, Tensor) else samples
    if given.ndim not in (1, 2) or 0 in given.shape or given.shape[-1] < 2:
        raise OvertoneError(
            f"the samples have shape {tuple(given.shape)}; it is (time,) or (channels, time), "
            "2 samples or more"
        )
    if given.ndim == 2 and len(given) > min(MAX_CHANNELS, given.shape[1]):
        raise OvertoneError(
            f"the samples have shape {tuple(given.shape)}, which is {len(given)} channels; the shape is "
            f"(channels, time), up to {MAX_CHANNELS} channels: transpose them"
        )
    check_rate(rate)
    wave = np.atleast_2d(_to_float(given))
    if not np.isfinite(wave).all():
        raise OvertoneError("the samples hold NaN or infinity; replace them first")
    if (highest := float(np.abs(wave).max())) > MAX_PEAK:
        raise OvertoneError(f"the samples peak at {highest:.3g} times full scale; that is not sound")
    if parts:
        check_alone(cutoff)
    apart = find_passages(wave, rate) if parts else None
    if apart:
        found = apart.cutoff
    elif cutoff is not None:
        found = Cutoff(cutoff, 1.0, False, "given")
    else:
        found = _measure(wave, rate)
    stream: Restorer | Unchanged
    if needs_restoring(found):
        net = open_model(model, device)
        # A part has a floor of its own, if any.
        spans, floors = (apart.spans, None) if apart else (None, find_floors(wave, rate, found.hz))
        stream = Restorer(net, rate, len(wave), found.hz, highest, out_rate, spans=spans, floors=floors)
    else:
        stream = Unchanged(rate, len(wave), out_rate)
        if stream.out_rate == rate:
            return samples.clone() if isinstance(samples, Tensor) else samples.copy()
    pieces: list[np.ndarray] = [
        stream.process(wave[:, at : at + BLOCK]) for at in range(0, wave.shape[1], BLOCK)
    ]
    restored = check_output(np.concatenate([*pieces, stream.flush()], axis=1))
    return _as_given(restored if given.ndim == 2 else restored[0], samples)


def _measure(wave: np.ndarray, rate: int) -> Cutoff:
    meter = SpectrumMeter(rate)
    meter.add(wave)
    return meter.cutoff()


def _to_float(samples: Any) -> np.ndarray:
    """float32 of a NumPy array or tensor; integers come to -1 to 1."""
    if isinstance(samples, Tensor):
        samples = samples.float().numpy() if samples.is_floating_point() else samples.numpy()
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(samples, np.float32, order="C")
    if samples.dtype.kind not in "iu":
        raise OvertoneError(f"the samples are of type {samples.dtype}; it is a float or an integer type")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = half if samples.dtype.kind == "u" else 0.0
    return np.asarray((samples.astype(np.float64) - middle) / half, np.float32, order="C")


def _as_given(wave: np.ndarray, samples: Samples) -> Samples:
    """The wave, float32, in the kind, type and place of the samples."""
    if isinstance(samples, Tensor):
        if samples.is_floating_point():
            return torch.from_numpy(wave).to(samples)
        kind = samples[:0].cpu().numpy().dtype
        return torch.from_numpy(_to_integer(wave, kind)).to(samples.device)
    if samples.dtype.kind == "f":
        return wave.astype(samples.dtype)
    return _to_integer(wave, samples.dtype)


def _to_integer(wave: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The wave at an integer type's full scale, rounded and clipped."""
    half = 2.0 ** (8 * kind.itemsize - 1)
    middle = half if kind.kind == "u" else 0.0
    # The largest integer of 64 bits is no float64; the float64 below it is.
    top = min(middle + half - 1, np.nextafter(middle + half, 0))
    return np.clip(np.rint(wave.astype(np.float64) * half) + middle, middle - half, top).astype(kind)
