"""Pad and index arrays of NumPy and of PyTorch alike, where the array API has no function for it.

Code that training and restoring share is written against the array API (array-api-compat), so that restoring
needs no PyTorch: ``xp = array_namespace(x)`` is the library that an array belongs to.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array
from numpy.lib.stride_tricks import sliding_window_view

# An array of either library. The array API has no type for it.
Array = Any
# Frames that NumPy transforms at once: 512 of 2048 samples took 6.1 ms at once and 2.8 ms in such blocks.
ROWS = 128


def pad(x: Array, axis: int, before: int, after: int) -> Array:
    """Add zeros before and after an array along an axis.

    Example:
        >>> import numpy as np
        >>> pad(np.ones((1, 2)), 1, 1, 2)
        array([[0., 1., 1., 0., 0.]])
    """
    xp = array_namespace(x)
    ends = []
    for count in (before, after):
        shape = list(x.shape)
        shape[axis] = count
        ends.append(xp.zeros(shape, dtype=x.dtype, device=device(x)))
    return xp.concat([ends[0], x, ends[1]], axis=axis)


def frames(x: Array, size: int, hop: int) -> Array:
    """Cut the last axis into frames that lie inside, a hop apart; a view. (..., time) to (..., frames, size).

    Example:
        >>> import numpy as np
        >>> frames(np.arange(5), 3, 2)
        array([[0, 1, 2],
               [2, 3, 4]])
    """
    if is_torch_array(x):
        return x.unfold(-1, size, hop)
    return sliding_window_view(x, size, axis=-1)[..., ::hop, :]


def windowed_rfft(x: Array, window: Array) -> Array:
    """Transform windowed frames: (..., frames, size) to complex (..., frames, size // 2 + 1)."""
    if is_torch_array(x):
        return array_namespace(x).fft.rfft(x * window)
    spectrum = np.empty((*x.shape[:-1], x.shape[-1] // 2 + 1), np.result_type(x, np.complex64))
    for signal in np.ndindex(x.shape[:-2]):
        for start in range(0, x.shape[-2], ROWS):
            rows = x[signal][start : start + ROWS] * window
            spectrum[signal][start : start + ROWS] = np.fft.rfft(rows)
    return spectrum


def gather(x: Array, index: Array) -> Array:
    """Choose elements along the last axis by indices that are no less than 0.

    Shape:
        x (..., size), index (..., wanted), alike but for the last axis -> (..., wanted).
    """
    # The array API's function looks for negative indices first, which takes as long as the rest.
    if is_torch_array(x):
        return x.gather(-1, index)
    return array_namespace(x).take_along_axis(x, index, axis=-1)


def gather_bins(x: Array, index: Array) -> Array:
    """Choose bins, the same in all frames of a signal.

    Shape:
        x (batch, frames, bins), index (batch, wanted) -> (batch, frames, wanted).
    """
    xp = array_namespace(x)
    if not is_torch_array(x):
        # One column for all frames at a time: five times as fast as an index for each element.
        return xp.stack([xp.take(signal, bins, axis=-1) for signal, bins in zip(x, index, strict=True)])
    return gather(x, xp.broadcast_to(index[:, None], (*x.shape[:2], index.shape[-1])))


def hann_window(length: int) -> np.ndarray:
    """Return a periodic Hann window, float32: windows that overlap by half add up to 1.

    Example:
        >>> hann_window(4)
        array([0. , 0.5, 1. , 0.5], dtype=float32)
    """
    window: np.ndarray = np.hanning(length + 1)[:-1].astype(np.float32)
    return window
