"""Score one chunk of a test track: run every system on it and measure all metrics. It runs in any process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.errors import OvertoneError
from overtone.data.dataset.reader import Pairs
from overtone.evaluation.comparison import alignment, chunks, systems
from overtone.evaluation.comparison.chunks import Chunk, ChunkIndex
from overtone.evaluation.comparison.systems import NOTHING, Output, System
from overtone.evaluation.metrics import c2st, distances


class RunSettings(NamedTuple):
    """Settings that all chunks of a run share.

    Attributes:
        pairs: the folder of pairs, as an absolute path.
        scale: ``segment.scale``.
        device: of networks.
        visqol: whether to compute ViSQOL.
        c2st: whether to compute the features of the classifier two-sample test.
        excerpt: length of the excerpts in seconds.
    """

    pairs: Path
    scale: str
    device: str
    visqol: bool
    c2st: bool
    excerpt: float


class ChunkScores(NamedTuple):
    """The scored outputs of all systems for a chunk.

    Attributes:
        track_id: of the chunk.
        weight: of the chunk in its track: the number of samples, 0 if the original is silent.
        bandwidth: of the original, in Hz.
        outputs: by row, without samples.
        failed: reason of failure of a program, by name.
        features: of the original, as `Output` has them.
        excerpts: from the middle, (channels, time): degraded, original, and systems by name; if requested.
    """

    track_id: int
    weight: int
    bandwidth: float
    outputs: dict[str, Output]
    failed: dict[str, str]
    features: np.ndarray | None
    excerpts: dict[str, np.ndarray]


def score_chunk(
    run: RunSettings,
    index: ChunkIndex,
    compared: Sequence[System],
    cutoff: float,
    lowpass: bool,
    excerpts: bool,
) -> ChunkScores:
    """Read a chunk, run every system on it, and score the outputs.

    The result depends on the arguments and the files alone. PyTorch computes with one thread, whatever the
    setting of the process, since sums that are split among threads round differently.

    Args:
        run: settings of the run.
        index: the chunk.
        compared: the systems.
        cutoff: in Hz.
        lowpass: whether to low-pass the original at the cutoff; otherwise the stored degraded copy is read.
        excerpts: whether to return excerpts.

    Raises:
        OvertoneError: a model cannot be loaded, or ViSQOL is requested and not installed.
    """
    with _one_thread():
        pairs = Pairs(run.pairs)
        chunk = chunks.read_chunk(pairs, index, cutoff if lowpass else None)
        return _ChunkScorer(run, chunk, cutoff, pairs.rate, excerpts).score(compared)


class _ChunkScorer:
    """Score the outputs of systems for a chunk, one after the other."""

    def __init__(self, run: RunSettings, chunk: Chunk, cutoff: float, rate: int, excerpts: bool) -> None:
        self._run, self._chunk, self._cutoff, self._rate = run, chunk, cutoff, rate
        self._bandwidth = measure_bandwidth(chunk.original.numpy(), rate)
        self._outputs: dict[str, Output] = {}
        self._failed: dict[str, str] = {}
        self._excerpts: dict[str, np.ndarray] = {}
        self._with_excerpts = excerpts

    def score(self, compared: Sequence[System]) -> ChunkScores:
        """Run the systems and score their outputs."""
        chunk = self._chunk
        self._cut_excerpt("degraded", chunk.degraded)
        self._cut_excerpt("original", chunk.original)
        for system in compared:
            self._score_system(system)
        return ChunkScores(
            track_id=chunk.track_id,
            weight=chunk.original.shape[-1] if chunk.original.any() else 0,
            bandwidth=self._bandwidth,
            outputs=self._outputs,
            failed=self._failed,
            features=self._features(chunk.original),
            excerpts=self._excerpts,
        )

    def _score_system(self, system: System) -> None:
        try:
            outputs = systems.run_system(system, self._chunk, self._cutoff, self._rate, self._run.device)
            # Both rows of a program are read first: if its output is wrong, it has no row.
            outputs = iter(list(outputs)) if isinstance(system, systems.Outside) else outputs
        except OvertoneError as error:
            self._failed[system.name] = str(error)
            return
        for output in outputs:
            self._outputs[output.row] = self._score_output(output)
            if output.row == system.name:
                self._cut_excerpt(output.row, output.samples)

    def _score_output(self, output: Output) -> Output:
        """Measure all metrics of an output, and drop its samples."""
        unaligned = self._outputs.get(output.row.removesuffix(systems.ALIGNED))
        if unaligned and not alignment.applied(output.correction, self._rate):
            return unaligned._replace(row=output.row)  # the same samples
        chunk, samples = self._chunk, output.samples
        return output._replace(
            samples=NOTHING,
            scores=chunks.measure(
                chunk, samples, self._rate, self._cutoff, self._run.scale, self._run.visqol
            ),
            distance=distances.distance_by_frequency(chunk.original, samples),
            features=self._features(samples),
        )

    def _features(self, samples: Tensor) -> np.ndarray | None:
        """Compute the features of the classifier two-sample test, if it is on and there is enough sound."""
        excerpt = chunks.middle(samples, c2st.EXCERPT_SECONDS, self._rate)
        has_high_band = self._bandwidth - self._cutoff >= distances.MIN_HIGH_BAND_HZ
        if not (self._run.c2st and has_high_band and excerpt.shape[-1] >= c2st.SECONDS * self._rate):
            return None
        return c2st.features(excerpt, self._rate, self._cutoff, self._bandwidth)

    def _cut_excerpt(self, name: str, samples: Tensor) -> None:
        if self._with_excerpts:
            excerpt = chunks.middle(samples, self._run.excerpt, self._rate)
            self._excerpts[name] = excerpt.numpy().copy()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
