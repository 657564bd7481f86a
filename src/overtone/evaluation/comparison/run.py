"""Score every system on every chunk of the test tracks, at every cutoff, and collect the results."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from overtone.core import parallel
from overtone.core.progress import report_progress
from overtone.data.dataset.reader import Pairs
from overtone.data.pairs.degradation import DegradeSettings
from overtone.evaluation.comparison import aggregate, chunks, named_systems
from overtone.evaluation.comparison.aggregate import ByTrack, Results
from overtone.evaluation.comparison.chunks import EvaluateSettings
from overtone.evaluation.comparison.runtime_cost import machine
from overtone.evaluation.comparison.score_chunk import RunSettings, score_chunk
from overtone.evaluation.metrics import c2st, visqol
from overtone.models.device import choose_device

# Excerpts of a track, by the name of the system: (channels, time).
Excerpts = dict[str, np.ndarray]


class Comparison(NamedTuple):
    """The results of a comparison.

    Attributes:
        results: by cutoff, that of the pipeline first.
        scores: by cutoff in Hz: system -> track -> metric -> value.
        excerpts: track and excerpts of the first test tracks.
        machine: processor, cores, load and device, in one line.
    """

    results: list[Results]
    scores: dict[float, ByTrack]
    excerpts: list[tuple[int, Excerpts]]
    machine: str

    def audible(self, names: Sequence[str]) -> list[str]:
        """List the systems to listen to: those of the given that have an output, or the input if none has."""
        return [name for name in names if name not in self.results[0].failed] or ["input"]

    def costs(self) -> dict[str, Any]:
        """List the runtime cost of every row, with the machine."""
        return {"machine": self.machine, "systems": self.results[0].costs()}


def run(
    pairs: Pairs,
    test: pd.DataFrame,
    settings: EvaluateSettings,
    degrade: DegradeSettings,
    scale: str,
    folder: Path,
) -> Comparison:
    """Score every system on every chunk of the test tracks.

    Args:
        pairs: the pairs of all tracks.
        test: the rows of segments.csv that belong to the test split.
        settings, degrade: the groups ``evaluate`` and ``degrade``.
        scale: ``segment.scale``.
        folder: for models and outputs of programs during the run; all workers must see it.

    Raises:
        OvertoneError: a setting does not fit the pairs, or a model cannot be loaded.
    """
    own_cutoff = degrade.cutoff_hz
    settings.check_cutoffs(own_cutoff, pairs.rate)
    if settings.visqol:
        visqol.check()
    run_settings = RunSettings(
        pairs=pairs.folder.absolute(),
        scale=scale,
        device=str(choose_device()),
        visqol=settings.visqol,
        c2st=test["track_id"].nunique() >= c2st.MIN_TRACKS,
        excerpt=settings.excerpt,
    )
    indices = chunks.list_chunks(pairs, test, settings.seconds)
    results, calls = [], []
    excerpts: list[tuple[int, Excerpts]] = []
    with tempfile.TemporaryDirectory(prefix=".systems-", dir=folder) as shared:
        for number, cutoff in enumerate((own_cutoff, *settings.cutoffs)):
            lowpass = number > 0
            read = partial(chunks.read_chunks, pairs, test, cutoff if lowpass else None, settings.seconds)
            path = Path(shared).absolute() / str(number)
            prepared = named_systems.prepare(
                settings.systems, read, cutoff, pairs.rate, path, side=degrade.channels == "side"
            )
            results.append(Results(prepared, pairs.rate, cutoff))
            for position, index in enumerate(indices):
                with_excerpts = not lowpass and position < settings.pictures
                calls.append((run_settings, index, prepared.systems, cutoff, lowpass, with_excerpts))
        scored = report_progress(parallel.run_all(score_chunk, calls), len(calls), "evaluate: chunk")
        for position, chunk in enumerate(scored):
            results[position // len(indices)].add(chunk)
            excerpts += [(chunk.track_id, chunk.excerpts)] if chunk.excerpts else []
    scores = {of_cutoff.cutoff: of_cutoff.by_track() for of_cutoff in results}
    where = machine(run_settings.device, parallel.describe_workers(len(calls)))
    return Comparison(results, scores, excerpts, where)


def summary(found: Comparison, genres: dict[str, str], settings: EvaluateSettings) -> dict[str, Any]:
    """Compute means with intervals, by system and genre: the content of metrics/test.json."""
    return aggregate.results(found.results, list(found.scores.values()), genres, settings)
