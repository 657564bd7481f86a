"""Run the spectral network over a signal of any length, a block at a time.

The result is that of one call of the network. Every stage keeps the frames that it still needs, and no frame
is computed twice. Arrays are PyTorch's or NumPy's (`overtone.core.arrays`).
"""

from typing import Protocol

from array_api_compat import array_namespace, device

from overtone.core.arrays import Array, pad
from overtone.models import harmonics, spectral_frames
from overtone.models.spectral_bands import Levels, fine_structure, magnitudes, measure_levels, reconstruct
from overtone.models.spectral_frames import HOP, HOPS, N_FFT

# A frame overlaps so many that follow it.
OVERLAPPING = HOPS - 1


class Layers(Protocol):
    """The learned layers, run over the frames of one signal, some at a time.

    Attributes:
        reach: frames by which the output lags behind the input.
    """

    reach: int

    def __call__(self, levels: Levels, lowest: int, last: bool) -> Array:
        """Take the levels of the next frames, any number of them.

        Returns:
            (1, frames, bins from the lowest on): the change of magnitudes, as log10, of the frames that are
            ready, at the last call of all.
        """
        ...


class SpectralStream:
    """One signal, restored a block at a time.

    ::

        samples - frames - layers, lag by `reach` frames - frames - samples, keeps 3 frames

    Args:
        layers: of this signal.
        window: of a frame.
        first: the first bin above the cutoff, (1,).
        power: of the fine structure that is continued (`SpectralSettings.harmonics`).
    """

    def __init__(self, layers: Layers, window: Array, first: Array, power: float) -> None:
        self._layers, self._window, self._first, self._power = layers, window, first, power
        self._lowest = int(first[0])
        xp, where = array_namespace(window), device(window)
        # Half a frame of silence before the start.
        self._samples = xp.zeros((1, N_FFT // 2), dtype=xp.float32, device=where)
        # Spectra up to the cutoff: first `_looked_back` frames that have left the layers, at which harmonics
        # look back, then those on their way through them.
        self._spectrum = xp.zeros((1, 0, self._lowest), dtype=xp.complex64, device=where)
        self._looked_back = 0
        self._level = xp.zeros((1, 0, 1), dtype=xp.float32, device=where)
        # Restored frames that samples to come depend on.
        self._restored = xp.zeros((1, 0, N_FFT), dtype=xp.float32, device=where)
        self._restored_count = 0  # of all frames so far
        self._samples_in = self._samples_out = 0

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind at most."""
        return self._layers.reach * HOP + N_FFT

    def __call__(self, samples: Array, last: bool) -> Array:
        """Take (1, time) samples, any number of them; return those that are ready, at the last call all."""
        xp = array_namespace(samples)
        self._samples_in += samples.shape[-1]
        self._samples = xp.concat([self._samples, samples], axis=-1)
        if last:
            self._samples = pad(self._samples, -1, 0, -self._samples_in % HOP + N_FFT // 2)
        # At the last call there is one: the silence on both sides.
        count = (self._samples.shape[-1] - N_FFT) // HOP + 1
        if count > 0:
            change = self._layers(self._measure(count), self._lowest, last)
            if change.shape[1]:
                self._restore(change)
        return self._ready(last)

    def _measure(self, count: int) -> Levels:
        """Take the complete frames, so many, from the samples."""
        spectrum = spectral_frames.analyse(self._samples, self._window)[..., : self._lowest]
        self._samples = self._samples[:, count * HOP :]
        levels = measure_levels(spectrum, self._first)
        xp = array_namespace(spectrum)
        self._spectrum = xp.concat([self._spectrum, spectrum], axis=1)
        self._level = xp.concat([self._level, levels.octave], axis=1)
        return levels

    def _restore(self, change: Array) -> None:
        """Restore the frames that the layers' output belongs to."""
        first, count = self._first, change.shape[1]
        frames = slice(self._looked_back, self._looked_back + count)
        level, self._level = self._level[:, :count], self._level[:, count:]
        magnitude = magnitudes(change, level, first, self._lowest)
        # There are frames to look ahead at: the layers look as far.
        fine = fine_structure(self._spectrum[:, : frames.stop + harmonics.REACH], first, self._power)
        magnitude = magnitude if fine is None else magnitude * fine[:, frames]
        spectrum = reconstruct(self._spectrum[:, frames], magnitude, first, self._restored_count)
        restored = spectral_frames.synthesize(spectrum, self._window)
        self._restored = array_namespace(restored).concat([self._restored, restored], axis=1)
        self._restored_count += count
        self._looked_back = min(frames.stop, harmonics.REACH)
        self._spectrum = self._spectrum[:, frames.stop - self._looked_back :]

    def _ready(self, last: bool) -> Array:
        """Return the samples on which no further frame depends."""
        # The next frame begins at the end.
        end = self._samples_in if last else self._restored_count * HOP - N_FFT // 2
        if end <= self._samples_out:
            return self._samples[:, :0]
        start = (self._restored_count - self._restored.shape[1]) * HOP - N_FFT // 2
        inside = slice(self._samples_out - start, end - start)
        ready = spectral_frames.overlap_add_windowed(self._restored, self._window, inside)
        self._samples_out = end
        self._restored = self._restored[:, -OVERLAPPING:]
        return ready
