"""What a system's work took: measured, kept, shown."""

import json
import re

import numpy as np
import pytest

from overtone.core import atomic
from overtone.evaluation.comparison import runtime_cost
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.report import runtime_cost_table

TOOK = {
    "machine": "a machine",
    "systems": {
        "input": {"seconds_per_second": 0.0, "peak_memory_gb": None, "note": ""},
        "late": {"seconds_per_second": 12.3456, "peak_memory_gb": 1.2345, "note": "corrected: 100 samples"},
        "gone": {"failed": "not installed: ask"},
    },
}


def test_time_is_counted_by_the_second_of_audio(monkeypatch):
    clock = iter([10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr("overtone.evaluation.comparison.runtime_cost.time.perf_counter", lambda: next(clock))
    cost = Cost()
    for audio in (0.5, 1.5):
        with cost.measured(audio):
            pass
    assert cost.json()["seconds_per_second"] == 1.5


def test_work_of_several_processes_adds_up_and_its_memory_is_the_most():
    cost = Cost(1.0, 2.0, 30)
    cost.add(Cost(2.0, 4.0, 20))
    assert cost == Cost(3.0, 6.0, 30)


def test_peak_memory_is_that_of_the_work_and_not_of_what_came_before():
    before, during = Cost(), Cost()
    with before.measured(1.0):
        pass
    if not before.memory:
        pytest.skip("this system does not tell a process's peak memory")
    np.ones(15_000_000)  # 120 MB, gone again
    with before.measured(1.0):
        pass
    with during.measured(1.0):
        np.ones(10_000_000)  # 80 MB, gone again
    assert 0.06e9 < during.memory - before.memory < 0.1e9


def test_the_table_has_a_row_for_each_system_and_says_what_failed():
    lines = runtime_cost_table.text(TOOK).splitlines()
    assert "a machine" in lines
    assert "late   12.346  1.23  corrected: 100 samples" in lines
    assert "gone        -     -  not installed: ask" in lines
    assert "input   0.000     -" in lines


def test_the_machine_is_named_with_what_networks_ran_on():
    assert re.search(
        r"\d+ cores, load [\d.]+; networks on cpu, one track at a time$",
        runtime_cost.machine("cpu", "one track at a time"),
    )


def test_the_file_is_printed_and_what_is_none_is_one_line(tmp_path, capsys):
    atomic.write_json(TOOK, tmp_path / "systems.json")
    assert json.loads((tmp_path / "systems.json").read_text()) == TOOK
    assert runtime_cost_table.main([str(tmp_path / "systems.json")]) == 0
    assert capsys.readouterr().out == runtime_cost_table.text(TOOK)
    (tmp_path / "none.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{")
    for name, message in (("none", "lacks machine"), ("bad", "not JSON"), ("away", "`dvc repro` writes it")):
        assert runtime_cost_table.main([str(tmp_path / f"{name}.json")]) == 2
        assert message in capsys.readouterr().err
    assert runtime_cost_table.main([]) == 2
