"""The evaluate stage on its own."""

import re
import sys

import yaml

from overtone.evaluation.metrics import visqol
from tests.helpers.workspace import SYSTEMS


def test_other_models_and_programs_stand_in_the_table_and_a_failing_one_says_so(workspace):
    """The committed model, taken from DVC's cache, scores as the one in data/model that it is."""
    script = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
    copy = {"command": "{python} {script} {input} {output}", "install": "ask", "python": sys.executable}
    recipes = {
        "copy": copy | {"script": script},
        "broken": copy | {"script": "raise ValueError('no weights')"},
    }
    (workspace.folder / "programs.yaml").write_text(yaml.safe_dump(recipes))
    before = workspace.json("metrics/test.json")
    workspace.set("evaluate", systems=["model", "broken", "model@HEAD", "copy"], cutoffs=[8000])
    workspace.stage("evaluate")
    results = workspace.json("metrics/test.json")
    systems = results["systems"]
    others = [row.replace("network", "model@HEAD") for row in SYSTEMS[-1:]]
    assert list(systems) == [*SYSTEMS, "model@HEAD", *others, "copy", "copy alone"]
    assert {name: systems[name] for name in SYSTEMS} == before["systems"]
    assert results["failed"] == {"broken": "failed with exit code 1: ValueError: no weights"}
    assert list(results["cutoffs"]) == ["4800", "8000"]
    assert {row["cutoff"] for row in workspace.rows("plots/scores.csv")} == {"4800", "8000"}
    # All of the original up to 8 kHz is there, of what was degraded only up to 4.8.
    snr = [of["systems"]["input"]["snr"]["mean"] for of in results["cutoffs"].values()]
    assert snr[1] > snr[0]
    assert systems["model@HEAD"] == systems["model"]
    assert systems["model@HEAD alone"] == systems["network alone"]
    assert systems["copy"] == systems["copy alone"] == systems["input"]
    took = workspace.json("data/systems.json")["systems"]
    assert list(took) == [*systems, "broken"]
    assert all(took[name]["seconds_per_second"] > 0 for name in systems)
    assert took["broken"] == {"failed": "failed with exit code 1: ValueError: no weights"}
    written = {path.name for path in (workspace.folder / "data/examples").iterdir()}
    versions = ("degraded", "restored", "original", "model@HEAD", "copy")
    assert written == {f"1_{version}.flac" for version in versions}
    output = workspace.stage("report")
    assert re.search(r"^broken +- +- +failed with exit code 1", output, re.MULTILINE)
    assert re.search(r"^broken +failed with exit code 1", output, re.MULTILINE)


def test_scores_do_not_depend_on_the_number_of_workers(workspace):
    def content():
        names = ("metrics/test.json", "plots/scores.csv", "data/examples/1_restored.flac")
        return [(workspace.folder / name).read_bytes() for name in names]

    two = content()
    workspace.stage("evaluate")
    assert "one track at a time" in workspace.json("data/systems.json")["machine"]
    assert content() == two


def test_without_visqol_it_is_said_before_anything_runs(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "visqol", None)
    visqol._visqol.cache_clear()
    workspace.set("evaluate", visqol=True)
    output = workspace.stage("evaluate", code=2)
    assert output.startswith("error: visqol is not installed: pip install 'overtone[visqol]' (")
    assert output.count("\n") == 1
