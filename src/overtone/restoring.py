"""Restoring a signal of any length: block by block, low band kept.

Networks are run as streams: whatever the blocks, every sample comes out as it would from one run over the
whole. What they hear is evened out (`overtone.evening`), by levels that samples decide and no block.

Of what the network makes only the band above the cutoff is added to the input, so that
below the cutoff the output is the input, whatever the network::

    out = input + highpass(network(input) - input)
"""

import copy
import functools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from overtone import models
from overtone.cutoff import SURE, Cutoff
from overtone.device import choose_device, fast_in_bfloat16
from overtone.errors import OvertoneError
from overtone.evening import Evening
from overtone.fifo import Fifo
from overtone.hiss import Filling, Floor
from overtone.models import Network
from overtone.panning import Panning

MODEL_RATE = 44100
RATES = (8000, 192000)

# Samples that a network is given at once: 6 s. Fewer take longer, more come late and need memory.
PIECE = 1 << 18
# Pieces that wait while one is worked on, so that no processor stands still between two.
AHEAD = 1
# Signals that are worked on at once, each with its share of the threads. A thread for each is faster than
# many threads for one operation after the other, which wait for each other at the end of each; more than
# two at once would need more memory.
AT_ONCE = 2

# The crossover is a linear-phase high-pass of 2 * 1024 + 1 taps with a Kaiser window (beta 8.96, for
# 90 dB): it falls from 0 to -90 dB over 125 Hz, all of it above the cutoff. With half the taps it falls over
# 250 Hz, a dark line in a spectrogram; it rings for 23 ms, half a frame of the networks' transforms.
TAPS = 1024
CROSSOVER_HZ = 125.0
BETA = 0.1102 * (90 - 8.7)
# It is applied in blocks of this size (overlap-save): they stay in the processor's cache, which one
# transform of the whole window does not, and took a third of its time.
CROSSOVER_FFT = 8192

# Of the input's Nyquist frequency: where soxr, which brings it to the networks' rate, is 3 dB down. It falls
# from 91 % on, so what a file at a low rate has above this is as good as lost, and left a dark band.
RESAMPLED = 0.945

# Seconds in which treble comes and goes before and after a part that it is added to.
FADE = 0.02

# Samples of a block that goes through a stream at a time.
BLOCK = 1 << 16
MAX_CHANNELS = 64
# Beyond this, in full scales, samples are no sound; integers read as floats go up to 8,400,000.
LOUDEST = 1e7

# Digital silence stays silent: what is added fades out within this many samples (12 ms) of it.
HUSH = 512
# Samples on each side that the crossover and the fade look at.
MARGIN = max(TAPS, HUSH)


class Restorer:
    """Restores a stream: blocks in, blocks out, the same result however the stream is cut.

    Output samples come ``latency`` seconds behind the input; memory does not grow with its length.

    Args:
        net: a network of ``overtone.models``, in evaluation mode, on the device to run on.
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
        floors: of noise, which goes on above the cutoff, as `overtone.hiss.HissMeter` finds them.

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
        floors: Sequence[Floor | None] | None = None,
    ) -> None:
        self.rate = check_rate(rate)
        self.out_rate = default_rate(rate) if out_rate is None else check_rate(out_rate)
        check_cutoff(cutoff, rate)
        self._spans = spans
        self._peak = max(peak, 1e-6)
        self._dry = _Resampler(rate, self.out_rate, channels)
        self._to_model = _Resampler(rate, MODEL_RATE, channels)
        self._to_out = _Resampler(MODEL_RATE, self.out_rate, channels)
        self._held = Fifo(channels)
        # Twice mid and side of stereo, or the channels.
        start = made_from(cutoff, rate)
        nets = [net, models.for_side(net)] if channels == 2 else [net] * channels
        device = next(net.parameters()).device
        fillings: list[Filling | None] = [None] * channels
        if floors and any(floors):
            # All are filled where one is, if with nothing: they must come out together.
            scaled = [
                floor._replace(density=floor.density / self._peak**2) if floor else Floor(start, 0.0, 0.0)
                for floor in floors
            ]
            fillings = [Filling(floor, start, MODEL_RATE, seed, device) for seed, floor in enumerate(scaled)]
        self._signals = [
            _Signal(each, start, keep_low, filling) for each, filling in zip(nets, fillings, strict=True)
        ]
        self._panning = Panning(start, MODEL_RATE) if channels == 2 and keep_low else None
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
        return ((1 + AHEAD) * PIECE + self._signals[0].latency + panning) / MODEL_RATE

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
        return _exactly(self._run(self._held.peek(0), last=True), due)

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
        dry, added = self._waiting_dry.take(ready), _exactly(self._waiting_added.take(ready), ready)
        if self._spans is not None:
            added = added * _share(self._spans, self._given, ready, self.out_rate)
        self._given += ready
        out: np.ndarray = dry + added
        return out

    def _added(self, last: bool) -> Iterator[np.ndarray]:
        """Start on every piece that is complete; yield what is added, in order, as far as it is made."""
        while last or self._held.size >= PIECE:
            piece = self._held.take(PIECE)
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
        return added if self._panning is None else self._panning.hold(added, heard, last)


class _Signal:
    """What is added to one signal, at the networks' scale, a piece at a time."""

    def __init__(self, net: Network, cutoff: float, keep_low: bool, filling: Filling | None) -> None:
        self._device = next(net.parameters()).device
        self._half = net.half_precision and fast_in_bfloat16(self._device)
        self._stream = net.stream(cutoff)
        self._evening = Evening(self._device)
        self._filling = filling
        self._response = _response(cutoff).to(self._device) if keep_low else None
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
        heard = self._evening.even(signal, last)
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
            added = _filter(added, self._response) * _gate(self._signal[:, :ready])
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
        self._resampler = _Resampler(rate, self.out_rate, channels)
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
        return _exactly(self._resampler(np.zeros((self._channels, 0), np.float32), True), due)


class _Resampler:
    """A stream at another rate, aligned with the input; soxr takes out its own delay."""

    def __init__(self, rate: int, out_rate: int, channels: int) -> None:
        self._stream = (
            None
            if rate == out_rate
            else soxr.ResampleStream(rate, out_rate, channels, dtype="float32", quality="VHQ")
        )

    def __call__(self, block: np.ndarray, last: bool) -> np.ndarray:
        if self._stream is None:
            return block
        converted: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return converted.T


def _exactly(samples: np.ndarray, length: int) -> np.ndarray:
    """(channels, time) samples, so many of them: a resampler may give one more or less at the end."""
    return np.pad(samples, ((0, 0), (0, max(0, length - samples.shape[1]))))[:, :length]


def above_crossover(samples: Tensor, cutoff: float) -> Tensor:
    """What the crossover lets through of (channels, time) at MODEL_RATE, in place; the same shape."""
    response = _response(cutoff)
    return torch.cat([_filter(channel[None], response) for channel in samples])


def _response(cutoff: float) -> Tensor:
    """The transform of the crossover's taps, for `_filter`."""
    response: Tensor = torch.fft.rfft(torch.from_numpy(_highpass(cutoff)), n=CROSSOVER_FFT)
    return response


def _highpass(cutoff: float) -> np.ndarray:
    """The crossover's taps, shape (2 * TAPS + 1,): half its transition above the cutoff lies the middle."""
    middle = min(cutoff + CROSSOVER_HZ / 2, MODEL_RATE / 2) / MODEL_RATE
    n = np.arange(-TAPS, TAPS + 1)
    lowpass = 2 * middle * np.sinc(2 * middle * n) * np.kaiser(2 * TAPS + 1, BETA)
    taps: np.ndarray = -lowpass / lowpass.sum()
    taps[TAPS] += 1
    return taps.astype(np.float32)


def _filter(signal: Tensor, response: Tensor) -> Tensor:
    """(1, time) filtered by the crossover, whose transform is given; its delay is taken out."""
    time, step = signal.shape[-1], CROSSOVER_FFT - 2 * TAPS
    blocks = -(-time // step)
    padded = nn.functional.pad(signal[0], (TAPS, blocks * step - time + TAPS))
    spectrum = torch.fft.rfft(padded.unfold(0, CROSSOVER_FFT, step))
    # What wraps around lies in the first 2 * TAPS samples of a block.
    filtered: Tensor = torch.fft.irfft(spectrum * response, n=CROSSOVER_FFT)[:, 2 * TAPS :]
    return filtered.reshape(1, -1)[:, :time]


def _gate(signals: Tensor) -> Tensor:
    """1 where there is sound nearby, 0 in digital silence: (channels, time) to the same."""
    # Pooling costs a seventh of a run. A silence that it would find holds a block of this size, and most
    # music has none. (The largest of magnitudes takes a fifth of the time that any of booleans does.)
    block = HUSH // 2
    whole = signals.shape[-1] // block * block
    if (signals[:, :whole].abs().reshape(len(signals), -1, block).amax(-1) > 0).all():
        return torch.ones_like(signals)
    sound = (signals != 0).to(signals.dtype)
    near = nn.functional.max_pool1d(sound[None], HUSH + 1, 1, HUSH // 2)
    return nn.functional.avg_pool1d(near, HUSH + 1, 1, HUSH // 2, count_include_pad=False)[0]


def _share(spans: Sequence[tuple[float, float]], start: int, count: int, rate: int) -> np.ndarray:
    """1 inside the spans and 0 outside, with fades beside them, of samples from a number on: (count,)."""
    # Before all of them, and where there are none, it is 0.
    times, gains = [-1.0], [0.0]
    for first, last in spans:
        times += first - FADE, first, last, last + FADE
        gains += 0.0, 1.0, 1.0, 0.0
    return np.interp(np.arange(start, start + count) / rate, times, gains).astype(np.float32)


def check_rate(rate: int) -> int:
    """The rate, if it is one that overtone takes."""
    if not RATES[0] <= rate <= RATES[1]:
        raise OvertoneError(f"the sample rate is {rate} Hz; it is {RATES[0]} to {RATES[1]}")
    return rate


def check_cutoff(cutoff: float, rate: int) -> None:
    """Raise unless input of that rate can end there."""
    top = min(rate, MODEL_RATE) / 2
    if not 500 <= cutoff <= top:
        raise OvertoneError(f"the cutoff is {cutoff:g} Hz; for this input it is 500 to {top:g}")


def made_from(cutoff: float, rate: int) -> float:
    """Where the band that is made begins, in Hz, for input of that rate."""
    return float(min(cutoff, RESAMPLED * rate / 2) if rate < MODEL_RATE else cutoff)


def default_rate(rate: int) -> int:
    """48,000 Hz for input of that family (8, 16, 24, 32, 48, 96, 192 kHz), else 44,100."""
    return 48000 if 48000 % rate == 0 or rate % 48000 == 0 or rate == 32000 else 44100


def needs_treble(found: Cutoff) -> bool:
    """Whether a band is missing above the cutoff for certain."""
    return found.confidence >= SURE and not found.full_band and found.kind != "silence"


def check_made(wave: np.ndarray) -> np.ndarray:
    """The wave that a network made, if it is one: damaged weights give NaN or infinity."""
    if not np.isfinite(wave).all():
        raise OvertoneError("the model makes NaN or infinity of this input; its weights are damaged")
    return wave


def open_model(model: str | Path | Network | None, device: str | torch.device | None) -> Network:
    """The network that a folder holds (the shipped one if None), on its device, ready to run.

    A network is taken as it is, where it is, unless a device is named; then it is copied there.
    """
    place = choose_device(None if device is None else str(device))
    if isinstance(model, torch.nn.Module):
        return model if device is None else _copied(model, place)
    return _shipped(place) if model is None else models.load(model)[0].to(place)


@functools.cache
def _shipped(place: torch.device) -> Network:
    """The shipped network on a device, loaded there once."""
    return _copied(models.default()[0], place)


def _copied(net: Network, place: torch.device) -> Network:
    """The network, or where it lies elsewhere, a copy of it there: others may be at work with it."""
    return net if next(net.parameters()).device == place else copy.deepcopy(net).to(place)
