"""Restoring a signal of any length: block by block, low band kept.

Networks are run as streams: whatever the blocks, every sample comes out as it would from one run over the
whole. What they hear is evened out (`overtone.restoration.stream.gain_control`), by levels that samples
decide and no block.

Of what the network makes only the band above the cutoff is added to the input, so that
below the cutoff the output is the input, whatever the network::

    out = input + highpass(network(input) - input)
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.models import registry
from overtone.models.device import fast_in_bfloat16
from overtone.models.registry import Network
from overtone.restoration.stream.crossover import MARGIN, apply_crossover, crossover_response, silence_gate
from overtone.restoration.stream.fifo import Fifo
from overtone.restoration.stream.gain_control import GainControl
from overtone.restoration.stream.limits import (
    CHUNK,
    check_cutoff,
    check_rate,
    default_rate,
    restored_from,
)
from overtone.restoration.stream.noise_floor import NoiseFill, NoiseFloor
from overtone.restoration.stream.resampling import Resampler, fit_length
from overtone.restoration.stream.stereo_balance import StereoBalance

# Pieces that wait while one is worked on, so that no processor stands still between two.
AHEAD = 1
# Signals that are worked on at once, each with its share of the threads. A thread for each is faster than
# many threads for one operation after the other, which wait for each other at the end of each; more than
# two at once would need more memory.
AT_ONCE = 2


# Seconds in which treble comes and goes before and after a part that it is added to.
FADE = 0.02


class Restorer:
    """Restores a stream: blocks in, blocks out, the same result however the stream is cut.

    Output samples come ``latency`` seconds behind the input; memory does not grow with its length.

    Args:
        net: a network of ``overtone.models.registry``, in evaluation mode, on the device to run on.
        rate: the input's rate in Hz, 8,000 to 192,000.
        channels: 1 for mono, 2 for stereo (restored as mid and side), or more (each for itself).
        cutoff: frequency in Hz above which the band is made anew; at rates under 44,100 Hz from 94.5 % of the
            Nyquist frequency on at the latest, where the resampler ends.
        peak: the input's largest absolute sample; what is 60 dB under it is heard no louder any more.
        out_rate: the output's rate in Hz; by default 48,000 if the input's rate is of that family,
            else 44,100.
        keep_low: False gives what the network makes of all bands, to judge it by; the low band is then
            the network's.
        spans: start and end in seconds of the parts in which treble is added, in order, apart from each
            other by more than 40 ms; by default it is added everywhere.
        floors: of noise, which goes on above the cutoff, as
        `overtone.restoration.stream.noise_floor.NoiseFloorMeter` finds them.

    Raises:
        OvertoneError: a rate is out of range, or the cutoff is not between 500 Hz and the highest
            frequency of the input and the network.
    """

    def __init__(
        self,
        net: Network,
        rate: int,
        channels: int,
        cutoff: float,
        peak: float = 1.0,
        out_rate: int | None = None,
        keep_low: bool = True,
        spans: Sequence[tuple[float, float]] | None = None,
        floors: Sequence[NoiseFloor | None] | None = None,
    ) -> None:
        self.rate = check_rate(rate)
        self.out_rate = default_rate(rate) if out_rate is None else check_rate(out_rate)
        check_cutoff(cutoff, rate)
        self._spans = spans
        self._peak = max(peak, 1e-6)
        self._dry = Resampler(rate, self.out_rate, channels)
        self._to_model = Resampler(rate, MODEL_RATE, channels)
        self._to_out = Resampler(MODEL_RATE, self.out_rate, channels)
        self._held = Fifo(channels)
        # Twice mid and side of stereo, or the channels.
        start = restored_from(cutoff, rate)
        nets = [net, registry.for_side(net)] if channels == 2 else [net] * channels
        device = next(net.parameters()).device
        fillings: list[NoiseFill | None] = [None] * channels
        if floors and any(floors):
            # All are filled where one is, if with nothing: they must come out together.
            scaled = [
                floor._replace(density=floor.density / self._peak**2)
                if floor
                else NoiseFloor(start, 0.0, 0.0)
                for floor in floors
            ]
            fillings = [
                NoiseFill(floor, start, MODEL_RATE, seed, device) for seed, floor in enumerate(scaled)
            ]
        self._signals = [
            _Signal(each, start, keep_low, filling) for each, filling in zip(nets, fillings, strict=True)
        ]
        self._panning = StereoBalance(start, MODEL_RATE) if channels == 2 and keep_low else None
        # The pieces that are worked on: of each what is added to the signals, and whether it is the last.
        self._running: deque[tuple[list[Future[np.ndarray]], bool]] = deque()
        # A signal has the same worker from beginning to end, which takes its pieces in turn.
        threads = torch.get_num_threads()
        jobs = min(AT_ONCE, threads, channels) if device.type == "cpu" else 1
        self._workers = [
            ThreadPoolExecutor(1, "restorer", torch.set_num_threads, (threads // jobs,)) for _ in range(jobs)
        ]
        # A worker sets its own number of threads, and with it that of threads yet to come.
        for worker in self._workers:
            worker.submit(int).result()
        torch.set_num_threads(threads)
        # Output that waits for its other half.
        self._waiting_dry, self._waiting_added = Fifo(channels), Fifo(channels)
        self._taken = self._given = 0
        self._ended = False

    @property
    def latency(self) -> float:
        """How far the output lags behind the input at most, in seconds: two pieces and the network."""
        panning = 0 if self._panning is None else self._panning.latency
        return ((1 + AHEAD) * CHUNK + self._signals[0].latency + panning) / MODEL_RATE

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take (channels, time) float32 samples; give those of the output that are ready.

        Raises:
            OvertoneError: the block has another shape or type, or the stream has been ended.
        """
        self._check(block)
        self._taken += block.shape[1]
        # A copy, for the caller's block may change while it waits.
        return self._run(np.array(block, np.float32, order="C"), last=False)

    def flush(self) -> np.ndarray:
        """End the stream; give the rest. In all, round(samples in * out_rate / rate) come out."""
        self._check(self._held.peek(0))
        self._ended = True
        due = round(self._taken * self.out_rate / self.rate) - self._given
        return fit_length(self._run(self._held.peek(0), last=True), due)

    def _check(self, block: np.ndarray) -> None:
        if self._ended:
            raise OvertoneError("this Restorer's stream has been ended by flush; make another one")
        if block.ndim != 2 or len(block) != len(self._signals) or block.dtype.kind != "f":
            raise OvertoneError(
                f"the block is {block.dtype} of shape {block.shape}; it is float32 of shape "
                f"({len(self._signals)}, time)"
            )

    def _run(self, block: np.ndarray, last: bool) -> np.ndarray:
        self._waiting_dry.append(self._dry(block, last))
        self._held.append(self._to_model(block, last))
        for added in self._added(last):
            self._waiting_added.append(self._to_out(added, False))
        if last:
            self._waiting_added.append(self._to_out(self._held.peek(0), True))
        ready = self._waiting_dry.size
        if not last:
            ready = min(ready, self._waiting_added.size)
        dry, added = self._waiting_dry.take(ready), fit_length(self._waiting_added.take(ready), ready)
        if self._spans is not None:
            added = added * _share(self._spans, self._given, ready, self.out_rate)
        self._given += ready
        out: np.ndarray = dry + added
        return out

    def _added(self, last: bool) -> Iterator[np.ndarray]:
        """Start on every piece that is complete; yield what is added, in order, as far as it is made."""
        while last or self._held.size >= CHUNK:
            piece = self._held.take(CHUNK)
            done = last and not self._held.size
            self._running.append((self._begin(piece, done), done))
            if len(self._running) > AHEAD:
                yield self._finish()
            if done:
                break
        while last and self._running:
            yield self._finish()

    def _begin(self, piece: np.ndarray, last: bool) -> list[Future[np.ndarray]]:
        """Start on the signals of a piece, (channels, time)."""
        scale = np.float32(1 / self._peak)
        if len(piece) == 2:
            piece, scale = np.stack([piece[0] + piece[1], piece[0] - piece[1]]), scale / 2
        return [
            self._workers[number % len(self._workers)].submit(self._signals[number], samples * scale, last)
            for number, samples in enumerate(piece)
        ]

    def _finish(self) -> np.ndarray:
        """What is added in the oldest piece, (channels, time)."""
        running, last = self._running.popleft()
        # (signals, 2, time): what is added to them, and they themselves.
        made = np.stack([signal.result() for signal in running]) * np.float32(self._peak)
        if len(made) == 2:
            made = np.stack([made[0] + made[1], made[0] - made[1]])
        added, heard = made[:, 0], made[:, 1]
        return added if self._panning is None else self._panning.apply(added, heard, last)


class _Signal:
    """What is added to one signal, at the networks' scale, a piece at a time."""

    def __init__(self, net: Network, cutoff: float, keep_low: bool, filling: NoiseFill | None) -> None:
        self._device = next(net.parameters()).device
        self._half = net.half_precision and fast_in_bfloat16(self._device)
        self._stream = net.stream(cutoff)
        self._evening = GainControl(self._device)
        self._filling = filling
        self._response = crossover_response(cutoff).to(self._device) if keep_low else None
        # From `_start` on: the signal, and what the network changes in it, which comes later.
        self._signal = self._change = torch.zeros(1, 0, device=self._device)
        self._start = self._given = 0

    @property
    def latency(self) -> int:
        """How many samples what comes out lags behind at most."""
        filling = self._filling.latency if self._filling else 0
        return self._evening.latency + self._stream.latency + filling + MARGIN

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Take (time,) samples; give what is added to those that are ready, at the last call all, and them.

        Returns:
            (2, time): what is added, and the samples that it is added to.
        """
        signal = torch.from_numpy(samples)[None].to(self._device)
        heard = self._evening.apply(signal, last)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            made = self._stream(heard, last)
        made = self._evening.undo(made)
        if self._filling:
            made = self._filling(made, last)
        self._signal = torch.cat([self._signal, signal], dim=-1)
        at = self._change.shape[-1]
        self._change = torch.cat([self._change, made - self._signal[:, at : at + made.shape[-1]]], dim=-1)
        ready = self._change.shape[-1]
        own, end = self._given - self._start, ready if last else ready - MARGIN
        if end <= own:
            return np.zeros((2, 0), np.float32)
        added = self._change
        if self._response is not None:
            # Mid and side are gated here, and so what is the same in left and right keeps its silent side.
            added = apply_crossover(added, self._response) * silence_gate(self._signal[:, :ready])
        both = torch.cat([added[:, own:end], self._signal[:, own:end]])
        self._given = self._start + end
        first = max(self._given - MARGIN, 0)
        self._signal, self._change = (held[:, first - self._start :] for held in (self._signal, self._change))
        self._start = first
        out: np.ndarray = both.cpu().numpy()
        return out


class Unchanged:
    """The stream of what there is nothing to restore in: it changes the rate and nothing else.

    Args:
        rate, channels, out_rate: as for ``Restorer``.
    """

    def __init__(self, rate: int, channels: int, out_rate: int | None = None) -> None:
        self.rate = check_rate(rate)
        self.out_rate = default_rate(rate) if out_rate is None else check_rate(out_rate)
        self._channels = channels
        self._resampler = Resampler(rate, self.out_rate, channels)
        self._taken = self._given = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take (channels, time) float32 samples; give those of the output that are ready."""
        out = self._resampler(block, False)
        self._taken += block.shape[1]
        self._given += out.shape[1]
        return out

    def flush(self) -> np.ndarray:
        """End the stream; give the rest. In all, round(samples in * out_rate / rate) come out."""
        due = round(self._taken * self.out_rate / self.rate) - self._given
        return fit_length(self._resampler(np.zeros((self._channels, 0), np.float32), True), due)


def _share(spans: Sequence[tuple[float, float]], start: int, count: int, rate: int) -> np.ndarray:
    """1 inside the spans and 0 outside, with fades beside them, of samples from a number on: (count,)."""
    # Before all of them, and where there are none, it is 0.
    times, gains = [-1.0], [0.0]
    for first, last in spans:
        times += first - FADE, first, last, last + FADE
        gains += 0.0, 1.0, 1.0, 0.0
    return np.interp(np.arange(start, start + count) / rate, times, gains).astype(np.float32)
