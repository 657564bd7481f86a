"""A stream through a filter is NumPy's convolution of all of it, whatever its blocks."""

import numpy as np
import pytest

from overtone.restoration.stream.curve_filter import CurveFilter


@pytest.fixture
def taps(rng):
    return rng.normal(size=2049).astype(np.float32)


@pytest.mark.parametrize("sizes", [[30000], [1, 5, 2000, 0, 20000], [3], [1500]])
def test_a_stream_is_convolved_without_delay(rng, taps, sizes):
    samples = rng.normal(size=(2, sum(sizes))).astype(np.float32)
    filter_ = CurveFilter(taps, 2)
    blocks = np.split(samples, np.cumsum(sizes)[:-1], axis=1)
    done = [filter_.process(block, number == len(blocks) - 1) for number, block in enumerate(blocks)]
    wanted = np.stack([np.convolve(channel, taps)[1024 : 1024 + samples.shape[1]] for channel in samples])
    # Of sums of 2049 products, whose level is 33 dB.
    assert np.concatenate(done, axis=1) == pytest.approx(wanted, abs=1e-3)


def test_nothing_becomes_nothing(taps):
    assert CurveFilter(taps, 2).process(np.zeros((2, 0), np.float32), True).shape == (2, 0)


def test_a_stretch_with_its_context_is_the_same_as_the_stream(rng, taps):
    samples = rng.normal(size=(1, 20000)).astype(np.float32)
    filter_ = CurveFilter(taps, 1)
    whole = filter_.process(samples, True)
    stretch = CurveFilter(taps, 1).convolve(samples[:, 7000 - 1024 : 9000 + 1024])
    assert np.abs(stretch - whole[:, 7000:9000]).max() < 1e-3
