"""Save restored items as sound files, one by one or all in a ZIP archive."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from overtone.app.library import Item, check_space
from overtone.app.mixing import BLOCK, mixed_blocks
from overtone.core import atomic
from overtone.core.errors import OvertoneError
from overtone.restoration.files.encode import FORMATS, holds_rate, write
from overtone.restoration.files.formats import SoundForm
from overtone.restoration.files.metadata import read_metadata
from overtone.restoration.stream.limits import default_rate
from overtone.restoration.stream.resampling import Unchanged
from overtone.version import __version__

BITS = 24


def target_name(item: Item, suffix: str) -> str:
    """Name a download as the command does: ``talk.restored.flac`` for ``talk.mp3``."""
    return f"{Path(item.name).stem}.restored{suffix}"


def save(item: Item, suffix: str, taps: np.ndarray) -> tuple[Path, int]:
    """Encode an item's restored signal, with the source's tags; return the file, and the samples clipped.

    Raises:
        OvertoneError: the format does not hold it, or the disk is full.
    """
    if suffix not in FORMATS:
        raise OvertoneError(f"the format is one of {', '.join(FORMATS)}")
    most = FORMATS[suffix][2]
    dry = item.dry
    if dry.channels > most:
        raise OvertoneError(f"{item.name} has {dry.channels} channels; {suffix} holds {most} at most")
    check_space(item.folder, dry.length * dry.channels * BITS // 8)
    target = item.folder / f"saved{suffix}"
    metadata = read_metadata(item.source)
    if item.facts["added"]:
        metadata.tags["encoder"] = (
            f"overtone {__version__}, treble above {item.facts['cutoff'] / 1000:.3g} kHz is predicted"
        )
    own = item.facts["rate"]
    rate = own if holds_rate(target, own) else default_rate(own)
    blocks = _at_rate(mixed_blocks(item, taps), own, rate, dry.channels)
    form = SoundForm(rate, dry.channels, BITS, round(dry.length * rate / own))
    try:
        clipped = write(target, blocks, form, metadata)
    except OvertoneError as error:
        raise OvertoneError(str(error).replace(str(target), target_name(item, suffix))) from None
    return target, clipped


def _at_rate(blocks: Iterator[np.ndarray], rate: int, out_rate: int, channels: int) -> Iterator[np.ndarray]:
    """Yield blocks at a rate that the format has, none longer than BLOCK."""
    resampler = Unchanged(rate, channels, out_rate)
    for block in blocks:
        yield from _split(resampler.process(block))
    yield from _split(resampler.flush())


def _split(samples: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, samples.shape[1], BLOCK):
        yield samples[:, start : start + BLOCK]


def save_all(items: Sequence[tuple[Item, np.ndarray]], suffix: str, target: Path) -> int:
    """Encode several items into one ZIP archive, each under its own name; return the samples clipped.

    Sound is not compressed again.

    Raises:
        OvertoneError: as of `save`.
    """
    names: set[str] = set()
    total = 0
    with atomic.replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for item, taps in items:
            name = target_name(item, suffix)
            for number in range(2, len(items) + 2):
                if name.lower() not in names:
                    break
                name = f"{Path(item.name).stem} ({number}).restored{suffix}"
            names.add(name.lower())
            with item.using:
                path, clipped = save(item, suffix, taps)
                total += clipped
                check_space(target.parent, path.stat().st_size)
                archive.write(path, name)
                path.unlink()
    return total
