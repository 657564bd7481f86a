"""Write sound files under a temporary name beside the target until all is there, encoded in a thread."""

import contextlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from overtone.core.errors import OvertoneError
from overtone.restoration.files import layouts, riff
from overtone.restoration.files.decode import BLOCK
from overtone.restoration.files.film import RATES
from overtone.restoration.files.formats import FILM_FORMATS, Format, SoundForm
from overtone.restoration.files.layouts import Layout
from overtone.restoration.files.metadata import Metadata, write_metadata
from overtone.restoration.files.sndfile import LockedFile
from overtone.restoration.stream.limits import CHUNK, MAX_CHANNELS, default_rate

# Suffix -> libsndfile's format, its subtype by bits (None: it has no such choice), most channels.
FORMATS: dict[str, Format] = {
    ".flac": ("FLAC", {16: "PCM_16", 24: "PCM_24"}, 8),
    ".wav": ("WAV", {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}, MAX_CHANNELS),
    ".ogg": ("OGG", None, 8),
    ".mp3": ("MP3", None, 2),
}
ALL_FORMATS = FORMATS | FILM_FORMATS
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Blocks that may wait to be encoded: two pieces.
WAITING = 2 * CHUNK // BLOCK
# libsndfile's compression levels, 0 to 1. FLAC's files are 0.1 % larger than at its default of 0.625, and
# encoded 20 % faster. The others' defaults end at 17 and 19 kHz, and would take away again what was added:
# these are LAME's -V 0 and Vorbis's quality 8, some 250 kbit/s.
LEVELS = {"FLAC": 0.5, "MP3": 0.0, "OGG": 0.2}


class _Sink(LockedFile):
    """A locked file to write to."""

    def flush(self) -> None:
        """Leave it to the system when to write to the disk.

        soundfile waits for the disk (fsync) before libsndfile has written the end, which makes nothing safer
        and let all processors stand still for a fiftieth of a run.
        """


def check_target(source: Path, target: Path, bits: int, force: bool) -> None:
    """Raise unless the target can be written to: its suffix, its bits, and what lies there."""
    suffix = target.suffix.lower()
    if suffix not in ALL_FORMATS:
        raise OvertoneError(
            f"{target} ends in {suffix or 'no suffix'!r}; it is one of {', '.join(ALL_FORMATS)}"
        )
    subtypes = ALL_FORMATS[suffix][1]
    if subtypes and bits not in subtypes:
        raise OvertoneError(f"{bits} bits do not fit {target}; {suffix} takes {_either(subtypes)}")
    try:
        if target.is_dir():
            raise OvertoneError(f"{target} is a folder; name a file")
        if target.exists() and not target.is_file():
            raise OvertoneError(f"{target} is no regular file; name one, or - for standard output")
        if target.exists():
            if os.path.exists(source) and target.samefile(source):
                raise OvertoneError(f"{target} is the input itself; name another output")
            if not force:
                raise OvertoneError(
                    f"{target} exists; overwrite it with --force (force=True), or name another"
                )
    except OSError as error:
        raise OvertoneError(f"{target} cannot be written: {error.strerror}") from None


def check_target_rate(target: Path, rate: int) -> None:
    """Raise unless the target's format has a rate in Hz; what MP3 takes its encoder says."""
    suffix = target.suffix.lower()
    if suffix in (".flac", ".mkv") and rate > 65535 and rate % 10:
        raise OvertoneError(
            f"{target} cannot have {rate} Hz; {suffix} takes up to 65535 Hz, and above that multiples of 10"
        )
    if suffix in RATES and rate not in RATES[suffix]:
        raise OvertoneError(f"{target} cannot have {rate} Hz; {suffix} takes {_either(RATES[suffix])}")


def holds_rate(target: Path, rate: int) -> bool:
    """Return whether the target's format can have a rate in Hz."""
    if target.suffix.lower() == ".mp3":
        return rate in MP3_RATES
    try:
        check_target_rate(target, rate)
    except OvertoneError:
        return False
    return True


def suited_rate(target: Path, rate: int, unchanged: bool) -> int:
    """Choose a target's rate in Hz by the source's: its own if nothing is added and the format has it."""
    if unchanged and holds_rate(target, rate):
        return rate
    rate = default_rate(rate)
    # Opus has no 44,100 Hz.
    return rate if holds_rate(target, rate) else 48000


def _either(choices: Iterable[int]) -> str:
    return " or ".join(str(choice) for choice in choices)


def write(target: Path, blocks: Iterator[np.ndarray], form: SoundForm, metadata: Metadata) -> int:
    """Write blocks to a temporary name beside the target, then rename; return the samples clipped.

    A target that is a symbolic link stays one: what it points to is written.

    Args:
        target: what `check_target` has found nothing wrong with; its folder is made if need be.
        blocks: (channels, time) float32 in the order of WAV's mask, none longer than BLOCK.
        form: of the sound that the blocks have in all; bits as for `check_target`.
        metadata: written as far as the format holds it; a WAV of 4 GiB or more has none.

    Raises:
        OvertoneError: the target cannot be written; nothing is left behind then.
    """
    if metadata.film is not None:
        # It brings PyAV, which takes a while to load.
        from overtone.restoration.files.film_writer import write_film

        return write_film(target, blocks, form, metadata)
    rate, channels, bits, length = form
    suffix = target.suffix.lower()
    _, subtypes, _ = FORMATS[suffix]
    kind = _kind(suffix, metadata.layout, channels, length * channels * bits // 8)
    with writing_whole(target) as temporary:
        subtype = subtypes[bits] if subtypes else None
        level = LEVELS.get(kind)
        with temporary.open("wb") as raw:
            number = raw.fileno()
            with _Sink(
                number, "w", rate, channels, subtype, format=kind, closefd=False, compression_level=level
            ) as file:
                order = layouts.to_xiph(channels) if suffix == ".ogg" else None
                clipped = _encode(file, blocks if order is None else _ordered(blocks, order), subtype, bits)
        if kind in ("WAVEX", "RF64") and metadata.layout != Layout():
            riff.write_layout(temporary, metadata.layout)
        if kind != "RF64":
            write_metadata(temporary, metadata, rate, channels)
        if subtypes and soundfile.info(os.fsencode(temporary)).frames != length:
            raise OvertoneError(f"{target} was not written whole")
    return clipped


@contextlib.contextmanager
def writing_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside a target; rename it at the end, leave nothing behind on an error.

    A target that is a symbolic link stays one: what it points to is written. Its folder is made if need be.

    Raises:
        OvertoneError: the target cannot be written.
    """
    real = Path(os.path.realpath(target))
    # Its suffix tells mediafile what it is.
    temporary = real.with_name(f".overtone-{secrets.token_hex(4)}.part{target.suffix.lower()}")
    new_folders = [folder for folder in real.parents if not folder.exists()]
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, real)
    except (soundfile.LibsndfileError, OSError) as error:
        raise OvertoneError(f"{target} cannot be written: {_reason(temporary, error)}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # Folders that were made for nothing are removed; one that holds the target stays.
        with contextlib.suppress(OSError):
            for folder in new_folders:
                folder.rmdir()


def _kind(suffix: str, layout: Layout, channels: int, size: int) -> str:
    """Return libsndfile's name of the format for a suffix: WAV is of three kinds."""
    kind = FORMATS[suffix][0]
    if kind != "WAV":
        return kind
    if size > 0xFFFF0000:
        return "RF64"  # lengths of 64 bits
    plain = channels <= 2 and layouts.is_usual(layout, channels)
    return "WAV" if plain or layout == Layout() else "WAVEX"  # with a mask of speakers


def _ordered(blocks: Iterator[np.ndarray], order: list[int]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[order]


def _encode(file: soundfile.SoundFile, blocks: Iterator[np.ndarray], subtype: str | None, bits: int) -> int:
    """Write blocks to an open file, in a thread; return the samples clipped."""

    def write_block(block: np.ndarray) -> int:
        file.write(encoded(block, subtype, bits))
        return 0 if subtype == "FLOAT" else count_clipped(block)

    return encode_in_thread(blocks, write_block)


def encode_in_thread(blocks: Iterator[np.ndarray], write_block: Callable[[np.ndarray], int]) -> int:
    """Call a function for every block, in a thread, while the next one is computed; return the sum."""
    done = 0
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(max_workers=1) as encoder:
        try:
            for block in blocks:
                waiting.append(encoder.submit(write_block, block))
                if len(waiting) > WAITING:
                    done += waiting.popleft().result()
            return done + sum(left.result() for left in waiting)
        except BaseException:
            # What is broken off is not worth encoding to its end.
            encoder.shutdown(cancel_futures=True)
            raise


def count_clipped(block: np.ndarray) -> int:
    """Count the samples beyond full scale."""
    return int((np.abs(block) > 1).sum()) if max(block.max(), -block.min()) > 1 else 0


def encoded(block: np.ndarray, subtype: str | None, bits: int) -> np.ndarray:
    """Convert a (channels, time) float32 block to what libsndfile stores without change: (time, channels).

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
    """Say why writing failed. libsndfile says "System error": writing a little more tells which."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        with temporary.open("ab") as raw:
            raw.write(bytes(BLOCK))
    except OSError as cause:
        return cause.strerror or str(cause)
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).removeprefix("Error : ").rstrip(".")
    return str(error)
