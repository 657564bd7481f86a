"""Restore a file and give the added band by itself, so that a caller mixes it with the input as it likes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from overtone.audio.cutoff import Cutoff
from overtone.models.network import Network
from overtone.restoration.passes import SourceFile, measure, restored_blocks
from overtone.restoration.result import describe_source
from overtone.restoration.stream.analysis import RestorerOptions, open_restorer
from overtone.restoration.stream.limits import default_rate


class AddedBand(NamedTuple):
    """Describes the added band of a file.

    Attributes:
        cutoff: where the file's spectrum ends.
        start: where the added band begins, in Hz.
        rate: of the added band, in Hz: that of `restore_file`'s output.
        added: False if nothing is missing for certain; the added band is empty then.
        peak: the file's largest absolute sample.
        notes: what is special about the file, as `overtone.restoration.result.Report.source_notes` has it.
    """

    cutoff: Cutoff
    start: float
    rate: int
    added: bool
    peak: float
    notes: list[str]


def restore_apart(
    source: Path,
    receive: Callable[[np.ndarray], None],
    *,
    net: Network,
    cutoff: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> AddedBand:
    """Restore a sound file of any length; their sum by a `Limiter` is what `restore_file` writes.

    Args:
        source: as of `restore_file`.
        receive: is called with the added band's blocks, (channels, time) float32.
        net: the network, on its device.
        cutoff: frequency in Hz above which to predict the band; measured if not given.
        progress: is called with the share that is done, 0 to 1.

    Raises:
        OvertoneError: as of `restore_file`.
    """
    given = SourceFile(source, cutoff, False, False, None, False, progress)
    measured = measure(given)
    analysis, reader = measured.analysis, measured.reader
    if analysis.needs_restoring:
        rate = default_rate(analysis.rate)
        stream = open_restorer(analysis, net, rate, RestorerOptions(apart=True))
        for block in restored_blocks(given, measured, stream):
            receive(block[analysis.channels :])
    else:
        rate = analysis.rate
    return AddedBand(
        analysis.cutoff,
        analysis.start,
        rate,
        analysis.needs_restoring,
        analysis.peak,
        describe_source(reader.track, reader.silences, reader.notes),
    )
