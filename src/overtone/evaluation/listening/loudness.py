"""Measure integrated loudness by ITU-R BS.1770-4, in LUFS."""

import math

import av
import numpy as np
from av.filter.context import FilterContext

SHORTEST = 0.4  # seconds: a gating block
# FFmpeg's figure where all of a sound is below the gate.
GATE = -70.0


def integrated(samples: np.ndarray, rate: int) -> float:
    """Measure the loudness of samples in LUFS; minus infinity where all of it is below the gate.

    By the filter ``ebur128`` of FFmpeg. A sound shorter than a gating block is repeated to one.

    Shape:
        samples: (channels, time), 1 or 2 channels.
    """
    time, shortest = samples.shape[1], math.ceil(SHORTEST * rate)
    if time < shortest:
        samples = np.tile(samples, (1, -(-shortest // time)))[:, :shortest]
    layout = "mono" if len(samples) == 1 else "stereo"
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="fltp", sample_rate=rate, layout=layout)
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    loudness = GATE
    for start in range(0, samples.shape[1], rate):
        block = np.ascontiguousarray(samples[:, start : start + rate], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, start
        source.push(frame)
        loudness = _last_value(sink, loudness)
    source.push(None)
    loudness = _last_value(sink, loudness)
    return loudness if loudness > GATE else -math.inf


def _last_value(sink: FilterContext, before: float) -> float:
    """Take all frames that are ready; return the loudness up to the last one, or the value before."""
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return before
        before = float(frame.metadata.get("lavfi.r128.I", before))
