"""Restoring a file: read from disk twice in blocks, written to disk in blocks, in constant memory.

The first pass counts the samples that are really there and finds the peak and the cutoff; the second
restores. Of a short file the first pass keeps the samples, so that it is decoded once.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from overtone.audio.cutoff import Cutoff, SpectrumMeter
from overtone.core.errors import OvertoneError
from overtone.models.registry import Network
from overtone.restoration.files import decode
from overtone.restoration.files.decode import BLOCK, open_sound
from overtone.restoration.files.encode import FORMATS, check_target, check_target_rate, write
from overtone.restoration.files.formats import default_target
from overtone.restoration.files.tags import read_tags
from overtone.restoration.result import Report
from overtone.restoration.stream.limits import (
    MAX_CHANNELS,
    MAX_PEAK,
    check_output,
    check_rate,
    default_rate,
    needs_restoring,
)
from overtone.restoration.stream.load import open_model
from overtone.restoration.stream.narrowband import PassageMeter, check_alone
from overtone.restoration.stream.noise_floor import NoiseFloor, NoiseFloorMeter
from overtone.restoration.stream.restorer import Restorer, Unchanged
from overtone.restoration.stream.stems import Separator, StemsRestorer
from overtone.version import __version__

# A file of up to so many samples (6 minutes of stereo, 128 MB) is kept in memory between the passes.
KEPT = 1 << 25
# Share of the time that the first pass takes.
SCAN_SHARE = 0.1
# What the encoder's tag begins with.
MAKER = "overtone"


def restore_file(
    source: str | Path,
    target: str | Path | None = None,
    *,
    cutoff: float | None = None,
    model: str | Path | Network | None = None,
    out_rate: int | None = None,
    bits: int = 24,
    device: str | torch.device | None = None,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
    separator: Separator | None = None,
    parts: bool = False,
) -> Report:
    """Restore a sound file of any length to another file, which also gets its tags
    (`overtone.restoration.files.tags`).

    Args:
        source: wav, flac, mp3, ogg, opus or aiff; or what FFmpeg reads, such as m4a, wma and films' sound.
        target: where to, as flac, wav, ogg or mp3 by its suffix; by default ``talk.restored.flac``
            beside ``talk.mp3``. Its folder is made if need be.
        cutoff: frequency in Hz above which to make the band anew; found if not given.
        model: a folder that the pipeline's train stage wrote, or a network; by default the shipped one.
        out_rate: the target's rate in Hz; by default 48,000 if the source's rate is of that family, else
            44,100.
        bits: 16 or 24 for flac; 16, 24 or 32 (float) for wav; ogg and mp3 have no such choice.
        device: where the network runs; by default a GPU if there is one.
        force: whether to overwrite the target.
        progress: is called with the share that is done, 0 to 1.
        separator: what ``overtone.restoration.stream.stems.open_separator`` gives, to restore stem by stem.
        parts: whether to look for parts that end lower than the rest
        (`overtone.restoration.stream.narrowband`), and to add treble
            there alone. Where there are none, the file is restored as a whole.

    Raises:
        OvertoneError: the source does not decode, is truncated or holds no sound, the target cannot be
            written, or an option is not allowed; nothing is left behind then.

    Example:
        >>> restore_file("talk.mp3").line()  # doctest: +SKIP
        'talk.mp3 -> talk.restored.flac: cutoff 7.9 kHz (cliff, confidence 0.98), treble added; ...'
    """
    began = time.monotonic()
    source = Path(source)
    target = default_target(source) if target is None else Path(target)
    told = progress or (lambda share: None)
    check_target(source, target, bits, force)
    if out_rate is not None:
        check_rate(out_rate)
        check_target_rate(target, out_rate)
    if parts:
        check_alone(cutoff, separator)
    scan = _scan(source, cutoff, parts, told)
    channels = scan.channels
    rate = default_rate(scan.rate) if out_rate is None else out_rate
    most = FORMATS[target.suffix.lower()][2]
    if channels > most:
        raise OvertoneError(
            f"{source} has {channels} channels; a {target.suffix} holds {most} at most: take another suffix"
        )
    length = round(scan.samples * rate / scan.rate)
    if not length:
        raise OvertoneError(
            f"{source} holds {scan.samples} samples at {scan.rate} Hz, which leaves none at {rate} Hz; "
            "name a higher rate with --rate (out_rate)"
        )
    added, hiss = needs_restoring(scan.found), False
    stream: Restorer | StemsRestorer | Unchanged
    if added:
        net = open_model(model, device)
        try:
            if separator is None:
                # A part has a floor of its own, if any.
                spans, floors = (scan.spans, None) if scan.spans else (None, scan.floors)
                hz = scan.found.hz
                stream = Restorer(net, scan.rate, channels, hz, scan.peak, rate, spans=spans, floors=floors)
                hiss = bool(floors and any(floors))
            else:
                stream = StemsRestorer(separator, net, scan.rate, channels, scan.found.hz, scan.peak, rate)
        except OvertoneError as error:
            raise OvertoneError(f"{source}: {error}") from None
    else:
        stream = Unchanged(scan.rate, channels, rate)
    tags = _tags(source, target, scan, added)
    try:
        clipped = write(target, _made(source, scan, stream, told), rate, channels, bits, length, tags)
    except torch.OutOfMemoryError:
        raise OvertoneError(f"{source}: the device is out of memory; take another, such as cpu") from None
    told(1.0)
    seconds = scan.samples / scan.rate
    speed = seconds / (time.monotonic() - began)
    stems = stream.findings if isinstance(stream, StemsRestorer) else None
    return Report(
        source,
        target,
        seconds,
        scan.rate,
        rate,
        channels,
        scan.found,
        added,
        clipped,
        speed,
        stems,
        scan.spans,
        hiss,
    )


@dataclass(frozen=True)
class _Scan:
    """What the first pass found: rate in Hz, channels, samples per channel, peak, cutoff, floors of noise.

    The spans of its parts, if they were looked for, and its blocks, if the file is short.
    """

    rate: int
    channels: int
    samples: int
    peak: float
    found: Cutoff
    floors: list[NoiseFloor | None]
    spans: tuple[tuple[float, float], ...] | None
    blocks: list[np.ndarray] | None


def _scan(path: Path, cutoff: float | None, parts: bool, told: Callable[[float], None]) -> _Scan:
    """Read a whole file, check that it is sound and whole, and measure it."""
    samples, peak = 0, 0.0
    kept: list[np.ndarray] | None = []
    with open_sound(path) as file:
        rate, channels = file.samplerate, file.channels
        try:
            check_rate(rate)
        except OvertoneError as error:
            raise OvertoneError(f"{path}: {error}") from None
        if channels > MAX_CHANNELS:
            raise OvertoneError(f"{path} has {channels} channels; up to {MAX_CHANNELS} are allowed")
        meter = SpectrumMeter(rate)
        noise = NoiseFloorMeter(rate, channels)
        parts_meter = PassageMeter(rate, channels) if parts else None
        for block in decode.ahead(decode.blocks(file, path)):
            highest = float(np.abs(block).max())
            if not np.isfinite(highest):
                where = (samples + int(np.argmin(np.isfinite(block).all(0)))) / rate
                raise OvertoneError(f"{path} holds NaN or infinity, first at {where:.3f} s; repair it first")
            if highest > MAX_PEAK:
                raise OvertoneError(f"{path} peaks at {highest:.3g} times full scale; that is not sound")
            if cutoff is None:
                meter.add(block)
            if parts_meter:
                parts_meter.add(block)
            noise.add(block)
            samples += block.shape[1]
            peak = max(peak, highest)
            if samples * channels > KEPT:
                kept = None
            if kept is not None:
                kept.append(block)
            told(SCAN_SHARE * min(1.0, samples / max(1, file.frames)))
    if samples < 2:
        raise OvertoneError(f"{path} holds {('no samples', 'one sample')[samples]}; 2 are the least")
    spans: tuple[tuple[float, float], ...] | None = None
    if parts_meter:
        found, spans = parts_meter.parts() or (meter.cutoff(), ())
    else:
        found = meter.cutoff() if cutoff is None else Cutoff(cutoff, 1.0, False, "given")
    return _Scan(rate, channels, samples, peak, found, noise.floors(found.hz), spans, kept)


def _tags(source: Path, target: Path, scan: _Scan, added: bool) -> dict[str, Any]:
    """The source's tags, and who made the target, so that nobody takes it for what was recorded."""
    tags = read_tags(source)
    encoder = tags.pop("encoder", "")
    made_before = encoder.startswith(MAKER)
    # Simple readers of WAV take all that follows the sound for sound: nothing does if nothing must.
    if tags or made_before or target.suffix.lower() != ".wav":
        treble = f", treble above {scan.found.hz / 1000:.3g} kHz is predicted" if added else ""
        own = f"{MAKER} {__version__}{treble}{' in parts' if scan.spans else ''}"
        # What was predicted once is not recorded because nothing is missing any more.
        tags["encoder"] = encoder if made_before and not added else own
    return tags


def _made(
    source: Path, scan: _Scan, stream: Restorer | StemsRestorer | Unchanged, told: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """Yield the output as (channels, time) blocks, none longer than BLOCK."""
    done = 0
    with contextlib.ExitStack() as stack:
        again: Iterable[np.ndarray] | None = scan.blocks
        if again is None:
            again = decode.blocks(stack.enter_context(open_sound(source)), source)
        for block in again:
            yield from _short(stream.process(block), source)
            done += block.shape[1]
            told(min(1.0, SCAN_SHARE + (1 - SCAN_SHARE) * done / scan.samples))
    if done != scan.samples:
        raise OvertoneError(f"{source} changed while it was read; restore it once it is finished")
    yield from _short(stream.flush(), source)


def _short(wave: np.ndarray, source: Path) -> Iterator[np.ndarray]:
    try:
        check_output(wave)
    except OvertoneError as error:
        raise OvertoneError(f"{source}: {error}") from None
    for at in range(0, wave.shape[1], BLOCK):
        yield wave[:, at : at + BLOCK]
