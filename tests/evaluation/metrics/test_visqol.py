"""ViSQOL: known answers, and one line where the package is missing."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import soxr
import torch

from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics import visqol

RATE = 44_100
needed = pytest.mark.skipif(find_spec("visqol") is None, reason="visqol-python is not installed: no compiler")


@pytest.fixture(scope="module")
def music():
    """A second and a half of stereo noise whose level moves."""
    rng = np.random.default_rng(3)
    time = np.arange(int(1.5 * RATE)) / RATE
    return torch.from_numpy(rng.normal(0, 0.1, (2, len(time))) * (1.1 + np.sin(9 * time))).float()


@needed
def test_a_copy_has_the_best_score_and_a_low_passed_one_a_worse(music):
    low = soxr.resample(soxr.resample(music.numpy().T, RATE, 8000), 8000, RATE).T
    low = torch.from_numpy(np.ascontiguousarray(low[:, : music.shape[1]]))
    worse = visqol.visqol(music[:, : low.shape[1]], low, RATE)
    assert visqol.visqol(music, music, RATE) == pytest.approx(4.732, abs=1e-3)
    assert 1 <= worse < 4


@needed
def test_sound_above_16_khz_counts(music):
    """Whoever fills the top of a full-band recording gains by it."""
    low = soxr.resample(soxr.resample(music.numpy().T, RATE, 32000), 32000, RATE).T
    low = torch.from_numpy(np.ascontiguousarray(low[:, : music.shape[1]]))
    assert visqol.visqol(music, low, RATE) < 4.5


@needed
def test_silence_has_the_worst_score(music):
    assert visqol.visqol(music, torch.zeros_like(music), RATE) == 1


def test_without_the_package_one_line_says_how_to_get_it(music, monkeypatch):
    monkeypatch.setitem(sys.modules, "visqol", None)
    visqol._visqol.cache_clear()
    with pytest.raises(OvertoneError, match=r"visqol is not installed: pip install 'overtone\[visqol\]'"):
        visqol.visqol(music, music, RATE)
