"""Predict the band that is added to one signal: mid, side or a channel.

::

    samples ─► gain control ─► network ─► undo gain ─► noise fill ─► crossover ─► added band
                                                                     silence gate

Where the input's own low-pass is known, all that the input has stays, and what is missing is filled.
Otherwise what the input has above the cutoff is taken away, and the added band replaces it.
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
        keeps: whether the signal keeps what it has above the cutoff.
    """

    def __init__(
        self, stream: Stream, response: np.ndarray | None, fill: NoiseFill | None, keeps: bool = False
    ) -> None:
        self._stream = stream
        self._gain_control = GainControl()
        self._fill = fill
        self._response, self._keeps = response, keeps
        # From sample `_start` on: the signal, and the network's change of it, which comes later.
        self._signal = self._change = np.zeros((1, 0), np.float32)
        self._start = self._done = self._predicted = 0

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
        self._signal = np.concatenate([self._signal, signal], axis=1)
        self._change = np.concatenate([self._change, self._run(signal, last)], axis=1)
        return self._next(self._change.shape[-1], last)

    def _run(self, signal: np.ndarray, last: bool) -> np.ndarray:
        """Run the network, between gain control and noise fill; what it adds lags behind the signal."""
        level = self._gain_control.apply(signal, last)
        output = self._gain_control.undo(self._stream(level, last))
        first = self._predicted - self._start
        own = self._signal[:, first : first + output.shape[1]]
        self._predicted += output.shape[1]
        # The low band is left in what the crossover takes it out of.
        change = output if self._keeps else output - own
        if self._fill is None:
            return change
        return self._fill(change, output + own if self._keeps else output, last)

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
