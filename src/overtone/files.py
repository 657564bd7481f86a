"""Restoring a file: read from disk twice in blocks, written to disk in blocks, in constant memory.

The first pass counts the samples that are really there and finds the peak and the cutoff; the second
restores. Of a short file the first pass keeps the samples, so that it is decoded once. What is written has
a temporary name until it is whole; a thread encodes it while the network works on the next window.
"""

import contextlib
import os
import re
import secrets
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from overtone.cutoff import Cutoff, SpectrumMeter
from overtone.errors import OvertoneError
from overtone.models import Network
from overtone.restoring import (
    MAX_CHANNELS,
    PIECE,
    Restorer,
    Unchanged,
    check_made,
    check_rate,
    default_rate,
    needs_treble,
    open_model,
)
from overtone.stems import Findings, Separator, StemsRestorer

# Frames read and written at a time; libsndfile has crashed on much larger blocks of Vorbis.
BLOCK = 1 << 16
# Suffix -> libsndfile's format, its subtype by bits (None: it has no such choice), most channels.
FORMATS: dict[str, tuple[str, dict[int, str] | None, int]] = {
    ".flac": ("FLAC", {16: "PCM_16", 24: "PCM_24"}, 8),
    ".wav": ("WAV", {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}, MAX_CHANNELS),
    ".ogg": ("OGG", None, 8),
    ".mp3": ("MP3", None, 2),
}
# Beyond this, in full scales, samples are no sound; integers read as floats go up to 8,400,000.
LOUDEST = 1e7
# Samples that an encoder may promise in excess: two frames of MP3.
SLACK = 2 * 1152
# WAV and AIFF written to a pipe promise nearly 2 or 4 GiB, for want of knowing better.
PLACEHOLDER = 0x7FFF0000
# A file of up to so many samples (6 minutes of stereo, 128 MB) is kept in memory between the passes.
KEPT = 1 << 25
# Blocks that are decoded ahead in the first pass: with one, decoder and meter wait for each other.
DECODED = 4
# Blocks that may wait to be encoded: two pieces.
WAITING = 2 * PIECE // BLOCK
# FLAC's files are 0.1 % larger than at the default level of 0.625, and encoded 20 % faster.
FLAC_LEVEL = 0.5
# Share of the time that the first pass takes.
SCAN_SHARE = 0.1


@dataclass(frozen=True)
class Report:
    """What was done to a file.

    Attributes:
        source, target: the files.
        seconds: length of the sound.
        rate, out_rate: sample rates of source and target in Hz.
        channels: their number.
        cutoff: where the source's spectrum ends; its kind is ``given`` if it was not looked for.
        added: whether treble was added; otherwise the sound is the source's.
        clipped: samples beyond full scale that the target's format could not hold.
        speed: seconds of sound per second of work, from reading to writing.
        stems: what separating found, if treble was added stem by stem.
    """

    source: Path
    target: Path
    seconds: float
    rate: int
    out_rate: int
    channels: int
    cutoff: Cutoff
    added: bool
    clipped: int
    speed: float
    stems: Findings | None = None

    def line(self) -> str:
        """The report in one line for people."""
        hertz, kind = f"{self.cutoff.hz / 1000:.3g} kHz", self.cutoff.kind
        if kind == "given":
            found = f"cutoff {hertz} (given), treble added"
        elif self.added:
            found = f"cutoff {hertz} ({kind}, confidence {self.cutoff.confidence:.2f}), treble added"
        elif kind == "silence":
            found = "silent (but for bass, if any), left as it is"
        elif self.cutoff.full_band:
            found = f"full band already (up to {hertz}), left as it is"
        else:
            found = (
                f"no clear cutoff (perhaps {hertz}, confidence {self.cutoff.confidence:.2f}), left as it is; "
                "name one to restore it all the same"
            )
        clipped = f"; {self.clipped:,} samples clipped" if self.clipped else ""
        took = f"{self.seconds:.1f} s at {self.speed:.3g} times real time"
        if self.stems:
            found += f" to {self.stems.line()}"
            took += f", {self.stems.seconds * self.speed / self.seconds:.0%} of it separating"
        return f"{self.source} -> {self.target}: {found}; {took}{clipped}"

    def json(self) -> dict[str, Any]:
        """The report as plain values."""
        stems = self.stems and self.stems.json()
        return asdict(self) | {"source": str(self.source), "target": str(self.target), "stems": stems}


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
) -> Report:
    """Restore a sound file of any length to another file.

    Args:
        source: wav, flac, mp3, ogg, opus or aiff.
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
        separator: what ``overtone.stems.open_separator`` gives, to restore stem by stem.

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
    scan = _scan(source, cutoff, told)
    channels = scan.channels
    rate = default_rate(scan.rate) if out_rate is None else out_rate
    most = FORMATS[target.suffix.lower()][2]
    if channels > most:
        raise OvertoneError(
            f"{source} has {channels} channels; a {target.suffix} holds {most} at most: take another suffix"
        )
    added = needs_treble(scan.found)
    stream: Restorer | StemsRestorer | Unchanged
    if added:
        net = open_model(model, device)
        try:
            if separator is None:
                stream = Restorer(net, scan.rate, channels, scan.found.hz, scan.peak, rate)
            else:
                stream = StemsRestorer(separator, net, scan.rate, channels, scan.found.hz, scan.peak, rate)
        except OvertoneError as error:
            raise OvertoneError(f"{source}: {error}") from None
    else:
        stream = Unchanged(scan.rate, channels, rate)
    length = round(scan.samples * rate / scan.rate)
    try:
        clipped = _write(target, _made(source, scan, stream, told), rate, channels, bits, length)
    except torch.OutOfMemoryError:
        raise OvertoneError(f"{source}: the device is out of memory; take another, such as cpu") from None
    told(1.0)
    seconds = scan.samples / scan.rate
    speed = seconds / (time.monotonic() - began)
    stems = stream.findings if isinstance(stream, StemsRestorer) else None
    return Report(
        source, target, seconds, scan.rate, rate, channels, scan.found, added, clipped, speed, stems
    )


def default_target(source: Path) -> Path:
    """``talk.restored.flac`` beside ``talk.mp3``."""
    return source.with_name(f"{source.stem}.restored.flac")


def check_target(source: Path, target: Path, bits: int, force: bool) -> None:
    """Raise unless the target can be written to: its suffix, its bits, and what lies there."""
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise OvertoneError(f"{target} ends in {suffix or 'no suffix'!r}; it is one of {', '.join(FORMATS)}")
    subtypes = FORMATS[suffix][1]
    if subtypes and bits not in subtypes:
        raise OvertoneError(f"{bits} bits do not fit {target}; {suffix} takes {_either(subtypes)}")
    if target.is_dir():
        raise OvertoneError(f"{target} is a folder; name a file")
    if target.exists():
        if source.exists() and target.samefile(source):
            raise OvertoneError(f"{target} is the input itself; name another output")
        if not force:
            raise OvertoneError(f"{target} exists; overwrite it with --force (force=True), or name another")


def _either(choices: dict[int, str]) -> str:
    return " or ".join(str(choice) for choice in choices)


@dataclass(frozen=True)
class _Scan:
    """What the first pass found: rate in Hz, channels, samples per channel, peak, cutoff.

    Its blocks, if the file is short.
    """

    rate: int
    channels: int
    samples: int
    peak: float
    found: Cutoff
    blocks: list[np.ndarray] | None


def _scan(path: Path, cutoff: float | None, told: Callable[[float], None]) -> _Scan:
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
        for block in _read_ahead(_blocks(file, path)):
            highest = float(np.abs(block).max())
            if not np.isfinite(highest):
                where = (samples + int(np.argmin(np.isfinite(block).all(0)))) / rate
                raise OvertoneError(f"{path} holds NaN or infinity, first at {where:.3f} s; repair it first")
            if highest > LOUDEST:
                raise OvertoneError(f"{path} peaks at {highest:.3g} times full scale; that is not sound")
            if cutoff is None:
                meter.add(block)
            samples += block.shape[1]
            peak = max(peak, highest)
            if samples * channels > KEPT:
                kept = None
            if kept is not None:
                kept.append(block)
            told(SCAN_SHARE * min(1.0, samples / max(1, file.frames)))
        missing = _missing(file, samples) or _ends_inside_a_page(path)
        if missing:
            raise OvertoneError(f"{path} is truncated: {missing}; get it whole")
    if samples < 2:
        raise OvertoneError(f"{path} holds {('no samples', 'one sample')[samples]}; 2 are the least")
    found = meter.cutoff() if cutoff is None else Cutoff(cutoff, 1.0, False, "given")
    return _Scan(rate, channels, samples, peak, found, kept)


class _Reader(soundfile.SoundFile):  # type: ignore[misc]
    """A file read from beginning to end.

    soundfile seeks after every read of a file that can be sought: that fails on FLAC of unknown length.
    """

    def seekable(self) -> bool:
        """Whether it is to be sought."""
        return False


@contextlib.contextmanager
def open_sound(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a file to be read from beginning to end; what is no sound file is an error that says why."""
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise OvertoneError(f"{path} is a folder; name a file")
        if not stat.S_ISREG(kind.st_mode):
            raise OvertoneError(f"{path} is no regular file, and it is read twice; save it as a file first")
        if kind.st_size == 0:
            raise OvertoneError(f"{path} is empty")
        with path.open("rb") as raw:
            # By number: a name would be taken for raw samples if it ended in .raw.
            try:
                file = _Reader(raw.fileno(), closefd=False)
            except soundfile.LibsndfileError as error:
                reason = error.error_string.rstrip(".").lower()
                raise OvertoneError(f"{path} is not audio that overtone reads ({reason})") from None
            with file:
                yield file
    except OSError as error:
        raise OvertoneError(f"{path} cannot be read: {error.strerror}") from None


def _blocks(file: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    """Yield all of a file as (channels, time) float32 blocks."""
    done = 0
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            where, reason = done / file.samplerate, error.error_string.rstrip(".").lower()
            raise OvertoneError(
                f"{path} is truncated or damaged: it does not decode beyond {where:.1f} s ({reason})"
            ) from None
        if not len(block):
            return
        done += len(block)
        yield block.T


def _read_ahead(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks, the next ones being decoded in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, blocks, None) for _ in range(DECODED))
        while (block := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, blocks, None))
            yield block


def _missing(file: soundfile.SoundFile, samples: int) -> str:
    """What a file's header promises and the file does not hold; empty if nothing."""
    promised = file.frames
    # FLAC written to a pipe promises 2^63 - 1 samples, for want of knowing better.
    if samples + SLACK < promised < 1 << 60:
        told, there = promised / file.samplerate, samples / file.samplerate
        return f"its header promises {told:.1f} s, and {there:.1f} s are there"
    # libsndfile itself corrects the length of a truncated WAV or AIFF, and says so in its log only.
    corrected = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info)
    if corrected:
        size, rest = map(int, corrected.groups())
        if rest < size < PLACEHOLDER:
            return f"its header promises {size:,} bytes of sound, and {rest:,} are there"
    return ""


def _ends_inside_a_page(path: Path) -> str:
    """What is wrong with an Ogg file that ends in the middle of a page; empty if nothing.

    libsndfile takes the last whole page for the end.
    """
    with path.open("rb") as raw:
        if raw.read(4) != b"OggS":
            return ""
        raw.seek(max(0, path.stat().st_size - 65307))  # the longest page
        tail = raw.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    whole = 27 + segments + sum(page[27 : 27 + segments])
    return "it ends inside a page" if len(page) < whole else ""


def _made(
    source: Path, scan: _Scan, stream: Restorer | StemsRestorer | Unchanged, told: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """Yield the output as (channels, time) blocks, none longer than BLOCK."""
    done = 0
    with contextlib.ExitStack() as stack:
        again: Iterable[np.ndarray] | None = scan.blocks
        if again is None:
            again = _blocks(stack.enter_context(open_sound(source)), source)
        for block in again:
            yield from _short(stream.process(block), source)
            done += block.shape[1]
            told(min(1.0, SCAN_SHARE + (1 - SCAN_SHARE) * done / scan.samples))
    yield from _short(stream.flush(), source)


def _short(wave: np.ndarray, source: Path) -> Iterator[np.ndarray]:
    try:
        check_made(wave)
    except OvertoneError as error:
        raise OvertoneError(f"{source}: {error}") from None
    for at in range(0, wave.shape[1], BLOCK):
        yield wave[:, at : at + BLOCK]


def _write(
    target: Path, blocks: Iterator[np.ndarray], rate: int, channels: int, bits: int, length: int
) -> int:
    """Write blocks to a temporary name beside the target, then rename; returns the samples clipped."""
    kind, subtypes, _ = FORMATS[target.suffix.lower()]
    if kind == "WAV" and length * channels * bits // 8 > 0xFFFF0000:
        kind = "RF64"  # WAV with lengths of 64 bits
    level = FLAC_LEVEL if kind == "FLAC" else None
    temporary = target.with_name(f".overtone-{secrets.token_hex(4)}.part")
    new_folders = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as raw:
            subtype = subtypes[bits] if subtypes else None
            with soundfile.SoundFile(
                raw.fileno(),
                "w",
                rate,
                channels,
                subtype,
                format=kind,
                closefd=False,
                compression_level=level,
            ) as file:
                clipped = _encode(file, blocks, subtype, bits)
        with open_sound(temporary) as written:
            if subtypes and written.frames != length:
                raise OvertoneError(f"{target} was not written whole")
        os.replace(temporary, target)
    except (soundfile.LibsndfileError, OSError) as error:
        raise OvertoneError(f"{target} cannot be written: {_reason(temporary, error)}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # What was made for nothing goes again; a folder that holds the target stays.
        with contextlib.suppress(OSError):
            for folder in new_folders:
                folder.rmdir()
    return clipped


def _encode(file: soundfile.SoundFile, blocks: Iterator[np.ndarray], subtype: str | None, bits: int) -> int:
    """Write blocks to an open file, in a thread; returns the samples clipped."""

    def write(block: np.ndarray) -> int:
        clipped = 0
        if subtype != "FLOAT" and max(block.max(), -block.min()) > 1:
            clipped = int((np.abs(block) > 1).sum())
        file.write(_encoded(block, subtype, bits))
        return clipped

    clipped = 0
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(max_workers=1) as encoder:
        try:
            for block in blocks:
                waiting.append(encoder.submit(write, block))
                if len(waiting) > WAITING:
                    clipped += waiting.popleft().result()
            return clipped + sum(done.result() for done in waiting)
        except BaseException:
            # What is broken off is not worth encoding to its end.
            encoder.shutdown(cancel_futures=True)
            raise


def _encoded(block: np.ndarray, subtype: str | None, bits: int) -> np.ndarray:
    """A (channels, time) float32 block as libsndfile stores it without change: (time, channels).

    Whole numbers, as int32, but float32 for FLOAT, and float32 clipped for what is lossy. libsndfile's own
    conversion multiplies by 2^23 - 1 what it divides by 2^23 when it reads.
    """
    if subtype == "FLOAT":
        return block.T
    if subtype is None:
        return block.clip(-1, 1).T
    full = 1 << (bits - 1)
    # float32 holds all of these exactly, at 16 and 24 bits, before and after the shift to the top of 32.
    whole = block * np.float32(full)
    np.rint(whole, out=whole)
    np.clip(whole, -full, full - 1, out=whole)
    whole *= np.float32(1 << (32 - bits))
    return whole.T.astype(np.int32, order="C")


def _reason(temporary: Path, error: Exception) -> str:
    """Why writing failed. libsndfile says "System error": writing a little more tells which."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        with temporary.open("ab") as raw:
            raw.write(bytes(BLOCK))
    except OSError as cause:
        return cause.strerror or str(cause)
    return str(error)
