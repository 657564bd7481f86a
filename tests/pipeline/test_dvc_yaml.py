"""dvc.yaml and the code agree: a stage's dependencies are the modules that it reaches, and no others."""

import ast
import json
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT

TEXT = (ROOT / "dvc.yaml").read_text()
STAGES = yaml.safe_load(TEXT)["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def file_of(module):
    """Find a module of ours as a path from the root; None for one that is not ours."""
    base = ROOT / ("." if module.split(".")[0] == "stages" else "src") / module.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path.resolve().relative_to(ROOT)
    return None


def imports(path):
    """Every module that a file names in an import, at its top or inside a function."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import; this walk does not follow them"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def holds_code(path):
    """Whether a file holds more than a docstring, as most `__init__.py` do not."""
    body = ast.parse((ROOT / path).read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def reached(stage):
    """All files of ours that a stage's script imports, itself included."""
    # `overtone/__init__.py` holds the lazy names of the library, which no stage uses, and stages/__init__.py
    # the path and the shared folders: neither decides a result.
    left_out = {Path("src/overtone/__init__.py"), Path("stages/__init__.py")}
    found, todo = set(), [Path(f"stages/{stage}.py")]
    while todo:
        path = todo.pop()
        if path is None or path in found or path in left_out:
            continue
        found.add(path)
        todo += [file_of(name) for name in imports(path) if name.split(".")[0] in ("overtone", "stages")]
    return {path for path in found if holds_code(path)}


def listed(stage):
    """The paths of code that dvc.yaml lists for a stage."""
    return [Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))]


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_reaches_is_under_a_listed_path(stage):
    paths = listed(stage)
    missing = [str(f) for f in reached(stage) if not any(f.is_relative_to(path) for path in paths)]
    assert not missing, "dvc.yaml does not list what the stage imports"


@pytest.mark.parametrize("stage", STAGES)
def test_every_listed_path_is_reached(stage):
    files = reached(stage)
    unused = [str(path) for path in listed(stage) if not any(f.is_relative_to(path) for f in files)]
    assert not unused, "dvc.yaml lists what the stage does not import"


@pytest.mark.parametrize("stage", STAGES)
def test_a_listed_folder_holds_nothing_that_another_stage_alone_needs(stage):
    own = reached(stage)
    others = set().union(*(reached(name) for name in STAGES if name != stage)) - own
    for path in listed(stage):
        # What every stage stands on is listed as a whole: few lines change there.
        if (ROOT / path).is_dir() and path != Path("src/overtone/core"):
            assert not [str(f) for f in others if f.is_relative_to(path)], f"{path} holds others' modules"


def test_it_is_a_table_of_contents():
    assert len(TEXT.splitlines()) <= 130


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_run_as_a_module_by_its_name(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_params_that_exist(stage):
    for key in STAGES[stage].get("params", []):
        group = PARAMS
        for name in key.split("."):
            assert name in group, f"{stage} depends on {key}"
            group = group[name]


def test_every_group_of_params_decides_some_stage():
    used = {key.split(".")[0] for stage in STAGES.values() for key in stage["params"]}
    assert used == set(PARAMS)


def test_metrics_and_plots_are_kept_by_git_and_data_by_dvc():
    for name, stage in STAGES.items():
        for kind in ("metrics", "plots"):
            for entry in stage.get(kind, []):
                assert next(iter(entry.values()))["cache"] is False, f"{name}: {entry}"
        assert all(isinstance(out, str) for out in stage.get("outs", []))


def test_dvc_shows_the_summary_and_the_listening_test_as_metrics_and_nothing_else():
    shown = [path for stage in STAGES.values() for entry in stage.get("metrics", []) for path in entry]
    assert shown == ["metrics/summary.json"]
    assert yaml.safe_load(TEXT)["metrics"] == ["metrics/listening.json"]


def lists(values):
    """Every list in nested values."""
    if isinstance(values, list):
        yield values
    for value in values.values() if isinstance(values, dict) else []:
        yield from lists(value)


def test_json_under_plots_holds_no_series_that_dvc_would_draw():
    plots = [path for stage in STAGES.values() for entry in stage.get("plots", []) for path in entry]
    files = [path for path in plots if path.endswith(".json")]
    assert files == ["metrics/segments.json", "metrics/train.json", "metrics/test.json"]
    for path in files:
        assert not list(lists(json.loads((ROOT / path).read_text()))), path


# What a change reruns, as the paths say it.
@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ("training/augment.py", {"train"}),
        ("training/losses.py", {"train"}),
        ("training/discriminators.py", {"train"}),
        ("report/plots.py", {"report"}),
        ("report/page.py", {"report"}),
        ("report/tables.py", {"report"}),
        ("report/runtime_cost_table.py", {"report"}),
        ("audio/cutoff.py", {"degrade", "evaluate"}),
        ("restoration/files/encode.py", set()),
        ("cli/main.py", set()),
    ],
)
def test_a_change_reruns_the_stages_that_it_touches_and_no_others(changed, stages):
    path = Path("src/overtone", changed)
    assert {name for name in STAGES if any(path.is_relative_to(p) for p in listed(name))} == stages
