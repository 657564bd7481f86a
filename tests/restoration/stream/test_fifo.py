import numpy as np
import pytest

from overtone.restoration.stream.fifo import Fifo


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 9], list(range(1, 12))])
def test_samples_come_out_in_order_however_they_were_cut(cuts):
    samples = np.arange(24, dtype=np.float32).reshape(2, 12)
    line = Fifo(2)
    for block in np.split(samples, cuts, axis=1):
        line.append(block)
    assert line.size == 12
    assert np.array_equal(line.take(5), samples[:, :5])
    assert np.array_equal(line.peek(4), samples[:, 5:9])
    assert np.array_equal(line.take(100), samples[:, 5:])
    assert line.size == 0
    assert line.take(3).shape == (2, 0)


def test_what_is_not_looked_at_is_not_copied_again():
    """A restorer asks for nothing at every block while a window fills."""
    line = Fifo(1)
    for _ in range(3):
        line.append(np.ones((1, 4), np.float32))
    before = [id(block) for block in line._blocks]
    assert line.take(0).shape == (1, 0)
    assert [id(block) for block in line._blocks][1:] == before[1:]
    assert line.take(3).shape == (1, 3)
    assert line.size == 9
