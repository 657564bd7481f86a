"""Frames of a stream: all samples in their places, whatever the blocks."""

import doctest

import numpy as np
import pytest

from overtone.restoration.stream import framer
from overtone.restoration.stream.framer import Framer


def frames(samples, cuts, *arguments, last=True):
    stream = Framer(*arguments)
    blocks = np.split(samples, cuts, axis=1)
    parts = [stream(block, last and number == len(cuts)) for number, block in enumerate(blocks)]
    return np.concatenate(parts, axis=1), stream


@pytest.mark.parametrize("cuts", [(), (1,), (3, 3, 17), tuple(range(1, 29))], ids=str)
@pytest.mark.parametrize(("size", "hop", "padding"), [(8, 8, 0), (8, 4, 4), (8, 2, 4), (5, 3, 1), (1, 1, 0)])
@pytest.mark.parametrize("length", [0, 1, 8, 29, 32])
def test_frame_n_begins_n_hops_behind_the_padding(cuts, size, hop, padding, length):
    samples = np.arange(2.0 * length).reshape(2, length) + 1
    cut, stream = frames(samples, cuts, size, hop, padding)
    padded = np.pad(samples, ((0, 0), (padding, -length % hop + padding)))
    count = max(0, (padded.shape[1] - size) // hop + 1)
    assert cut.shape == (2, count, size)
    for number in range(count):
        assert np.array_equal(cut[:, number], padded[:, number * hop : number * hop + size])
    assert stream.samples == length


def test_half_a_frame_of_padding_centres_the_last_frame_at_or_behind_the_end():
    for length in range(20):
        cut, _ = frames(np.ones((1, length)), (), 8, 4, 4)
        assert cut.shape[1] == -(-length // 4) + 1


def test_what_is_no_whole_frame_is_the_rest():
    samples = np.arange(22.0).reshape(2, 11)
    cut, stream = frames(samples, (5,), 4, 4, last=False)
    assert cut.shape == (2, 2, 4)
    assert np.array_equal(stream.rest, samples[:, 8:])
    assert Framer(4, 4).rest.shape == (0, 0)


def test_the_caller_may_write_over_a_block():
    stream, block = Framer(4, 4), np.ones((1, 3))
    stream(block)
    block[:] = 2
    assert np.array_equal(stream(np.ones((1, 1))), np.ones((1, 1, 4)))


def test_the_example_runs():
    assert doctest.testmod(framer) == (0, 3)
