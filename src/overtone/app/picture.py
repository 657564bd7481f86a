"""Compute spectrograms for the page: levels of a stored signal as bytes, at a bounded cost for any length."""

import numpy as np

from overtone.app.signals import RawSignal

COLUMNS, ROWS = 800, 240
FRAME = 2048
FRAMES = 4  # that a column is the mean of, at most
RANGE = 120.0  # dB from full scale down to a byte of 0


def levels(signal: RawSignal) -> np.ndarray:
    """Compute mean levels over time and frequency, as bytes. Shape: (ROWS, columns).

    A column is the mean power of FRAMES frames spread over its stretch of time, over all channels; a row is
    the mean over its bins. Row 0 is the lowest frequency. Byte b is b / 255 * RANGE - RANGE dB.
    """
    length = signal.length
    columns = max(1, min(COLUMNS, length // (FRAME // 4)))
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    window *= 2 / window.sum()
    edges = np.linspace(0, FRAME // 2 + 1, ROWS + 1).astype(int)
    result = np.zeros((ROWS, columns), np.float32)
    for column in range(columns):
        begin, end = column * length // columns, (column + 1) * length // columns
        step = max(FRAME // 4, (end - begin) // FRAMES)
        starts = range(begin - FRAME // 2, max(end - FRAME // 2, begin - FRAME // 2 + 1), step)
        frames = np.stack([signal.read(start, FRAME) for start in starts])
        spectrum = np.fft.rfft(frames * window)
        power = (spectrum.real**2 + spectrum.imag**2).mean(axis=(0, 1))
        result[:, column] = np.add.reduceat(power, edges[:-1]) / np.diff(edges)
    decibels = 10 * np.log10(result + 1e-20)
    scaled: np.ndarray = np.clip((decibels + RANGE) / RANGE * 255, 0, 255).astype(np.uint8)
    return scaled


def gains(taps: np.ndarray) -> list[float]:
    """Compute a filter's gain in dB for each row of `levels`; -RANGE where it lets nothing through."""
    response = np.abs(np.fft.rfft(taps, 8192))
    rows = (np.arange(ROWS) + 0.5) / ROWS * (len(response) - 1)
    gain = np.interp(rows, np.arange(len(response)), response)
    return [round(float(value), 2) for value in 20 * np.log10(np.maximum(gain, 10 ** (-RANGE / 20)))]
