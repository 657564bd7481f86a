"""Runtime cost: time per second of audio, and peak memory."""

import re

import numpy as np
import pytest

from overtone.evaluation.comparison import runtime_cost
from overtone.evaluation.comparison.runtime_cost import Cost


def test_time_is_per_second_of_audio(monkeypatch):
    clock = iter([10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr("overtone.evaluation.comparison.runtime_cost.time.perf_counter", lambda: next(clock))
    cost = Cost()
    for audio in (0.5, 1.5):
        with cost.measured(audio):
            pass
    assert cost.json()["seconds_per_second"] == 1.5


def test_costs_of_several_processes_add_up_and_the_peak_is_the_largest():
    cost = Cost(1.0, 2.0, 30)
    cost.add(Cost(2.0, 4.0, 20))
    assert cost == Cost(3.0, 6.0, 30)


def test_peak_memory_does_not_include_earlier_peaks():
    before, during = Cost(), Cost()
    with before.measured(1.0):
        pass
    if not before.memory:
        pytest.skip("this system has no counter of peak memory")
    np.ones(15_000_000)  # 120 MB, gone again
    with before.measured(1.0):
        pass
    with during.measured(1.0):
        np.ones(10_000_000)  # 80 MB, gone again
    assert 0.06e9 < during.memory - before.memory < 0.1e9


def test_the_machine_is_described_with_the_device():
    assert re.search(
        r"\d+ cores, load [\d.]+; networks on cpu, one track at a time$",
        runtime_cost.machine("cpu", "one track at a time"),
    )
