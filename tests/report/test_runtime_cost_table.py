"""The table of runtime costs: a row for every system, also for a failed one."""

import json
import subprocess
import sys

from overtone.core import atomic
from overtone.report import runtime_cost_table
from tests.helpers import ROOT

COSTS = {
    "machine": "a machine",
    "systems": {
        "input": {"seconds_per_second": 0.0, "peak_memory_gb": None, "note": ""},
        "late": {"seconds_per_second": 12.3456, "peak_memory_gb": 1.2345, "note": "corrected: 100 samples"},
        "gone": {"failed": "not installed: ask"},
    },
}


def test_every_system_has_a_row_and_a_failed_one_its_reason():
    lines = runtime_cost_table.text(COSTS).splitlines()
    assert "a machine" in lines
    assert "late   12.346  1.23  corrected: 100 samples" in lines
    assert "gone        -     -  not installed: ask" in lines
    assert "input   0.000     -" in lines


def test_a_file_is_printed_and_an_invalid_one_is_one_line(tmp_path, capsys):
    atomic.write_json(COSTS, tmp_path / "systems.json")
    assert json.loads((tmp_path / "systems.json").read_text()) == COSTS
    assert runtime_cost_table.main([str(tmp_path / "systems.json")]) == 0
    assert capsys.readouterr().out == runtime_cost_table.text(COSTS)
    (tmp_path / "none.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{")
    for name, message in (("none", "lacks machine"), ("bad", "not JSON"), ("away", "`dvc repro` writes it")):
        assert runtime_cost_table.main([str(tmp_path / f"{name}.json")]) == 2
        assert message in capsys.readouterr().err
    assert runtime_cost_table.main([]) == 2


def test_the_module_prints_the_file(tmp_path):
    atomic.write_json(COSTS, tmp_path / "systems.json")
    command = [sys.executable, "-m", "overtone.report.runtime_cost_table", str(tmp_path / "systems.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.stdout == runtime_cost_table.text(COSTS)
