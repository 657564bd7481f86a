"""Restore a stream of any length, block by block, and keep its low band.

Networks run as streams: whatever the blocks, every sample is the same as in one run over the whole signal.
Gain control (`overtone.restoration.stream.gain_control`) depends on the samples alone, too.

Of a network's output only the band above the cutoff is added to the input, so that below the cutoff the
output is the input, whatever the network::

    out = input + highpass(network(input) - input)

If the roll-off of the input's own low-pass is known, the input stays in all bands, and what the low-pass has
taken is filled::

    out = input + fill(network(input))

Where that would pass full scale, the added band is lowered (`overtone.restoration.stream.limiter`).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from overtone.audio.rolloff import Rolloff
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.models.network import Network, for_side
from overtone.restoration.stream.added_band import GainCurve, impulse_response
from overtone.restoration.stream.crossover import crossover_response, fill_response
from overtone.restoration.stream.curve_filter import CurveFilter
from overtone.restoration.stream.fifo import Fifo
from overtone.restoration.stream.limiter import Limiter
from overtone.restoration.stream.limits import (
    CHUNK,
    check_cutoff,
    check_rate,
    default_rate,
    restored_from,
)
from overtone.restoration.stream.noise_floor import NoiseFill, NoiseFloor
from overtone.restoration.stream.resampling import Resampler, fit_length
from overtone.restoration.stream.signal import SignalRestorer
from overtone.restoration.stream.stereo_balance import StereoBalance

# Chunks that wait while one is processed, so that no processor is idle between two.
AHEAD = 1
# Signals that are processed at once, each with its share of the threads. A thread for each is faster than
# many threads for one operation after the other, which wait for each other at the end of each; more than two
# at once would need more memory.
AT_ONCE = 2
# Seconds of the fades before and after a span.
FADE = 0.02


class Restorer:
    """Restores a stream: blocks in, blocks out, the same result whatever the blocks.

    Output samples lag ``latency`` seconds behind the input; memory does not grow with the stream's length.

    Args:
        net: a network, as `overtone.models.network` says, ready to run.
        rate: the input's rate in Hz, 8,000 to 192,000.
        channels: 1 for mono, 2 for stereo (restored as mid and side), or more (each for itself).
        cutoff: frequency in Hz above which to predict the band; at rates under 44,100 Hz the band begins at
            94.5 % of the Nyquist frequency at the latest, where the resampler ends.
        peak: the input's largest absolute sample; gain control raises nothing that is 60 dB under it further.
            Of input that is not scaled to 1 (`overtone.restoration.stream.limiter.MOST_PEAK`) nothing is
            limited to full scale.
        out_rate: the output's rate in Hz; by default 48,000 if the input's rate is of that family, else
            44,100.
        keep_low: False gives the network's output in all bands, without the input's low band, to measure it.
        spans: start and end in seconds of the passages in which to add the band, in order, apart from each
            other by more than 40 ms; by default it is added everywhere.
        floors: noise floors of the signals, which are continued above the cutoff
            (`overtone.restoration.stream.noise_floor.NoiseFloorMeter`).
        curve: gain of the added band over frequency; by default it is not changed.
        rolloff: of the input's own low-pass, if it was measured.
        apart: True gives the input at the output's rate and the added band one below the other,
            (2 * channels, time), in place of their sum within full scale.

    Attributes:
        limiter: of the sum; None where there is no sum, or where the network's output is measured.

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
        curve: GainCurve | None = None,
        apart: bool = False,
        rolloff: Rolloff | None = None,
    ) -> None:
        self.rate = check_rate(rate)
        self.out_rate = default_rate(rate) if out_rate is None else check_rate(out_rate)
        check_cutoff(cutoff, rate)
        self._spans = spans
        self._peak = max(peak, 1e-6)
        self._dry = Resampler(rate, self.out_rate, channels)
        self._to_model = Resampler(rate, MODEL_RATE, channels)
        self._to_out = Resampler(MODEL_RATE, self.out_rate, channels)
        start = restored_from(cutoff, rate, rolloff)
        # Twice mid and side of stereo, or the channels.
        nets = [net, for_side(net)] if channels == 2 else [net] * channels
        keeps = keep_low and rolloff is not None
        response = _response(start, rolloff) if keep_low else None
        fills = _open_fills(floors or [None] * channels, start, self._peak)
        workers = min(AT_ONCE, net.threads, channels)
        self._signals = [
            SignalRestorer(net.stream(start, net.threads // workers), response, fill, keeps)
            for net, fill in zip(nets, fills, strict=True)
        ]
        self._balance = StereoBalance(start, MODEL_RATE) if channels == 2 and keep_low else None
        self._filter = (
            None if curve is None else CurveFilter(impulse_response(curve, self.out_rate), channels)
        )
        self.limiter = None if apart or not keep_low else Limiter(self.out_rate, channels, peak)
        self._apart = apart
        # A signal keeps its worker to the end.
        self._workers = [ThreadPoolExecutor(1, "restorer") for _ in range(workers)]
        # The chunks that are being processed: each signal's result, and whether it is the last chunk.
        self._running: deque[tuple[list[Future[np.ndarray]], bool]] = deque()
        # Samples at the networks' rate that are no whole chunk yet; output that waits for its other half.
        self._chunk, self._waiting_dry, self._waiting_added = (Fifo(channels) for _ in range(3))
        self._samples_in = self._samples_added = self._samples_out = 0
        self._ended = False

    @property
    def latency(self) -> float:
        """The seconds that the output lags behind the input at most: two chunks and the network."""
        balance = 0 if self._balance is None else self._balance.latency
        curve = 0.0 if self._filter is None else self._filter.half / self.out_rate
        limiter = 0.0 if self.limiter is None else self.limiter.latency / self.out_rate
        return ((1 + AHEAD) * CHUNK + self._signals[0].latency + balance) / MODEL_RATE + curve + limiter

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next (channels, time) float32 samples and return the output that is ready.

        Raises:
            OvertoneError: the block has another shape or type, or the stream has been ended.
        """
        self._check(block)
        self._samples_in += block.shape[1]
        # A copy: the caller's block may change while it waits.
        return self._run(np.array(block, np.float32, order="C"), last=False)

    def flush(self) -> np.ndarray:
        """End the stream and return the rest: round(samples in * out_rate / rate) samples in all."""
        self._check(self._chunk.peek(0))
        self._ended = True
        return self._run(self._chunk.peek(0), last=True)

    @property
    def _samples_due(self) -> int:
        """The output's samples for the input so far, if it ended here."""
        return round(self._samples_in * self.out_rate / self.rate)

    def _check(self, block: np.ndarray) -> None:
        """Raise unless the stream goes on and the block fits it."""
        if self._ended:
            raise OvertoneError("this Restorer's stream has been ended by flush; make another one")
        if block.ndim != 2 or len(block) != len(self._signals) or block.dtype.kind != "f":
            raise OvertoneError(
                f"the block is {block.dtype} of shape {block.shape}; it is float32 of shape "
                f"({len(self._signals)}, time)"
            )

    def _run(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Process a block and return the sum of input and added band as far as both are ready."""
        self._waiting_dry.append(self._dry(block, last))
        self._chunk.append(self._to_model(block, last))
        for added in self._added(last):
            self._append_added(self._to_out(added, False), False)
        if last:
            self._append_added(self._to_out(self._chunk.peek(0), True), True)
        ready = min(self._waiting_dry.size, self._waiting_added.size)
        if last:
            ready = self._samples_due - self._samples_out
        dry, added = (
            fit_length(waiting.take(ready), ready) for waiting in (self._waiting_dry, self._waiting_added)
        )
        if self._spans is not None:
            added = added * _span_gain(self._spans, self._samples_out, ready, self.out_rate)
        self._samples_out += ready
        if self.limiter is not None:
            return self.limiter.process(dry, added, last)
        out: np.ndarray = np.concatenate([dry, added]) if self._apart else dry + added
        return out

    def _append_added(self, added: np.ndarray, last: bool) -> None:
        """Append the next of the added band at the output's rate to what waits, through the gain curve."""
        if last:
            # The curve must not see the sample by which the resampler may end late: it is not in the output.
            added = fit_length(added, max(0, self._samples_due - self._samples_added))
        self._samples_added += added.shape[1]
        self._waiting_added.append(added if self._filter is None else self._filter.process(added, last))

    def _added(self, last: bool) -> Iterator[np.ndarray]:
        """Start on every complete chunk; yield the added band of those that are done, in order."""
        while last or self._chunk.size >= CHUNK:
            chunk = self._chunk.take(CHUNK)
            done = last and not self._chunk.size
            self._running.append((self._start(chunk, done), done))
            if len(self._running) > AHEAD:
                yield self._finish()
            if done:
                break
        while last and self._running:
            yield self._finish()

    def _start(self, chunk: np.ndarray, last: bool) -> list[Future[np.ndarray]]:
        """Start on the signals of a chunk, (channels, time)."""
        scale = np.float32(1 / self._peak)
        if len(chunk) == 2:
            chunk, scale = np.stack([chunk[0] + chunk[1], chunk[0] - chunk[1]]), scale / 2
        return [
            self._workers[number % len(self._workers)].submit(self._signals[number], samples * scale, last)
            for number, samples in enumerate(chunk)
        ]

    def _finish(self) -> np.ndarray:
        """Wait for the oldest chunk; return its added band, (channels, time)."""
        running, last = self._running.popleft()
        # (signals, 2, time): the added band, and the samples that it is added to.
        output = np.stack([signal.result() for signal in running]) * np.float32(self._peak)
        if len(output) == 2:
            output = np.stack([output[0] + output[1], output[0] - output[1]])
        added, samples = output[:, 0], output[:, 1]
        return added if self._balance is None else self._balance.apply(added, samples, last)


def _response(start: float, rolloff: Rolloff | None) -> np.ndarray:
    """Transform the filter of the added band, which begins at a frequency in Hz."""
    return crossover_response(start) if rolloff is None else fill_response(rolloff)


def _open_fills(floors: Sequence[NoiseFloor | None], start: float, peak: float) -> list[NoiseFill | None]:
    """Open the noise fill of every signal.

    Args:
        floors: of the signals.
        start: in Hz, above which noise is added.
        peak: that the signals' samples are divided by.
    """
    if not any(floors):
        return [None] * len(floors)
    # Where one signal is filled, all are, if with nothing: their outputs must have the same latency.
    scaled = [
        floor._replace(density=floor.density / peak**2) if floor else NoiseFloor(start, 0.0, 0.0)
        for floor in floors
    ]
    return [NoiseFill(floor, start, MODEL_RATE, seed) for seed, floor in enumerate(scaled)]


def _span_gain(spans: Sequence[tuple[float, float]], start: int, count: int, rate: int) -> np.ndarray:
    """Compute the gain of samples from a number on, (count,): 1 in the spans, fades beside them, else 0."""
    # Before all of them, and where there are none, it is 0.
    times, gains = [-1.0], [0.0]
    for first, last in spans:
        times += first - FADE, first, last, last + FADE
        gains += 0.0, 1.0, 1.0, 0.0
    return np.interp(np.arange(start, start + count) / rate, times, gains).astype(np.float32)
