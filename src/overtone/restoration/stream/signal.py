"""Predict the band that is added to one signal: mid, side or a channel.

::

    samples ─► gain control ─► network ─► undo gain ─► noise fill ─► − samples ─► crossover ─► added band
                                                                                  silence gate
"""

import numpy as np

from overtone.models.network import Stream
from overtone.restoration.stream.crossover import MARGIN, apply_crossover, silence_gate
from overtone.restoration.stream.gain_control import GainControl
from overtone.restoration.stream.noise_floor import NoiseFill


class SignalRestorer:
    """Predicts the band that is added to a signal at the networks' rate and scale, chunk by chunk.

    Args:
        stream: the network's, of this signal.
        response: of the crossover; None keeps the network's change in all bands.
        fill: of the signal's noise floor, if it has one.
    """

    def __init__(self, stream: Stream, response: np.ndarray | None, fill: NoiseFill | None) -> None:
        self._stream = stream
        self._gain_control = GainControl()
        self._fill = fill
        self._response = response
        # From sample `_start` on: the signal, and the network's change of it, which comes later.
        self._signal = self._change = np.zeros((1, 0), np.float32)
        self._start = self._done = 0

    @property
    def latency(self) -> int:
        """The number of samples that the output lags behind at most."""
        fill = self._fill.latency if self._fill else 0
        return self._gain_control.latency + self._stream.latency + fill + MARGIN

    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take the next (time,) samples and return the added band as far as it is known.

        Returns:
            (2, time): the added band and the samples that it is added to; at the last call all that are left.
        """
        signal = samples[None]
        output = self._run(signal, last)
        self._signal = np.concatenate([self._signal, signal], axis=1)
        known = self._change.shape[-1]
        change = output - self._signal[:, known : known + output.shape[-1]]
        self._change = np.concatenate([self._change, change], axis=1)
        return self._next(self._change.shape[-1], last)

    def _run(self, signal: np.ndarray, last: bool) -> np.ndarray:
        """Run the network, between gain control and noise fill; its output lags behind the signal."""
        level = self._gain_control.apply(signal, last)
        output = self._gain_control.undo(self._stream(level, last))
        return self._fill(output, last) if self._fill else output

    def _next(self, known: int, last: bool) -> np.ndarray:
        """Filter the change and return the part of it that no later sample affects, with its signal."""
        first, end = self._done - self._start, known if last else known - MARGIN
        if end <= first:
            return np.zeros((2, 0), np.float32)
        added = self._change
        if self._response is not None:
            # Mid and side are gated here, so that the side of mono in two channels stays silent.
            added = apply_crossover(added, self._response) * silence_gate(self._signal[:, :known])
        both = np.concatenate([added[:, first:end], self._signal[:, first:end]])
        self._done = self._start + end
        # The crossover looks back by its margin.
        start = max(self._done - MARGIN, 0)
        self._signal = self._signal[:, start - self._start :]
        self._change = self._change[:, start - self._start :]
        self._start = start
        return both
