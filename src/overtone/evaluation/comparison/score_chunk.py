"""The work of one test take: every system makes its own of it, and all are scored. It runs in any process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.errors import OvertoneError
from overtone.data.dataset.reader import Pairs
from overtone.evaluation.comparison import alignment, chunks, systems
from overtone.evaluation.comparison.alignment import Correction
from overtone.evaluation.comparison.chunks import ChunkIndex
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.systems import System
from overtone.evaluation.metrics import c2st, distances
from overtone.restoration.stream.separation import Findings


class RunSettings(NamedTuple):
    """What is the same for every take of a run.

    Attributes:
        pairs: the folder of pairs, absolute.
        scale: as `overtone.data.dataset.reader.SegmentSettings` has it.
        device: where networks run.
        visqol: whether ViSQOL is asked.
        c2st: whether to return the features that the classifier two-sample test needs.
        excerpt: seconds of the excerpts to look at and to listen to.
    """

    pairs: Path
    scale: str
    device: str
    visqol: bool
    c2st: bool
    excerpt: float


class RowScores(NamedTuple):
    """What one row of the table has of a take.

    Attributes:
        values: its scores.
        distance: `overtone.evaluation.metrics.distances.distance_by_frequency`.
        seen: what the probe sees of it, None if it was not asked, or there is no treble or no whole second.
        cost: what the work took.
        correction: what aligning found.
        findings: what separating into stems found.
    """

    values: dict[str, float]
    distance: np.ndarray
    seen: np.ndarray | None
    cost: Cost
    correction: Correction | None
    findings: Findings | None = None


class ChunkScores(NamedTuple):
    """What all systems have of a take.

    Attributes:
        track_id: its track.
        weight: how much it counts in its track: the original's samples, none where that is silent.
        reach: the original's own bandwidth, in Hz.
        rows: by name.
        failed: why a program has none, by name.
        seen: what the probe sees of the original.
        excerpts: the middle, (channels, time): degraded, original, and systems by name; where asked for.
    """

    track_id: int
    weight: int
    reach: float
    rows: dict[str, RowScores]
    failed: dict[str, str]
    seen: np.ndarray | None
    excerpts: dict[str, np.ndarray]


def score_chunk(
    work: RunSettings, part: ChunkIndex, made_by: list[System], cutoff: float, anew: bool, excerpts: bool
) -> ChunkScores:
    """Read a take, have every system make its own of it, and score them.

    What it gives depends on its arguments and the files alone: it computes with one thread whatever the
    process has, since sums that are split among threads round differently.

    Args:
        work: what all takes share.
        part: which take.
        made_by: the systems.
        cutoff: in Hz.
        anew: whether the take is low-passed there anew; the stored degraded samples are taken otherwise.
        excerpts: whether to return them.

    Raises:
        OvertoneError: a model cannot be loaded, or ViSQOL is wanted and not here.
    """
    with _one_thread():
        return _score_chunk(work, part, made_by, cutoff, anew, excerpts)


def _score_chunk(
    work: RunSettings, part: ChunkIndex, made_by: list[System], cutoff: float, anew: bool, excerpts: bool
) -> ChunkScores:
    pairs = Pairs(work.pairs)
    rate = pairs.rate
    take = chunks.read_chunk(pairs, part, cutoff if anew else None)
    reach = measure_bandwidth(take.original, rate)
    probed = work.c2st and reach - cutoff >= distances.MIN_HIGH_BAND_HZ

    def seen(samples: torch.Tensor) -> np.ndarray | None:
        heard = chunks.middle(samples, c2st.EXCERPT_SECONDS, rate)
        enough = heard.shape[-1] >= c2st.SECONDS * rate
        return c2st.features(heard, rate, cutoff, reach) if probed and enough else None

    def excerpt(samples: torch.Tensor) -> np.ndarray:
        return chunks.middle(samples, work.excerpt, rate).numpy().copy()

    rows: dict[str, RowScores] = {}
    failed = {}
    cuts = {"degraded": excerpt(take.degraded), "original": excerpt(take.original)} if excerpts else {}
    for system in made_by:
        try:
            made_of_it = systems.run_system(system, take, cutoff, rate, work.device)
            # A program's rows are read at once: where it wrote something else, it has none.
            all_made = list(made_of_it) if isinstance(system, systems.Outside) else made_of_it
        except OvertoneError as error:
            failed[system.name] = str(error)
            continue
        for made in all_made:
            neighbour = rows.get(made.row.removesuffix(systems.ALIGNED))
            if neighbour and not (made.correction and alignment.describe([made.correction], rate)):
                rows[made.row] = neighbour  # aligning left it as it was
                continue
            values = chunks.measure(take, made.samples, rate, cutoff, work.scale, work.visqol)
            distance = distances.distance_by_frequency(take.original, made.samples).numpy()
            heard = seen(made.samples)
            rows[made.row] = RowScores(values, distance, heard, made.cost, made.correction, made.findings)
            if excerpts and made.row == system.name:
                cuts[made.row] = excerpt(made.samples)
    weight = take.original.shape[-1] if take.original.any() else 0
    return ChunkScores(take.track_id, weight, reach, rows, failed, seen(take.original), cuts)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
