"""dvc.yaml and the code agree: a stage's dependencies are exactly the modules that it reaches."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def file_of(module):
    """A module of ours as a path from the root; None for one that is not ours."""
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


def reached(stage):
    """All files of ours that a stage's script imports, itself included."""
    # `overtone/__init__.py` is left out: it holds the version and the lazy names of the library, which
    # no stage uses, and it would make every stage run again with each release.
    found, todo = set(), [Path(f"stages/{stage}.py")]
    while todo:
        path = todo.pop()
        if path is None or path in found or path == Path("src/overtone/__init__.py"):
            continue
        found.add(path)
        todo += [file_of(name) for name in imports(path) if name.split(".")[0] in ("overtone", "stages")]
    return {str(path) for path in found}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_modules_it_reaches(stage):
    listed = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert not reached(stage) - listed, "dvc.yaml does not list what the stage imports"
    assert not listed - reached(stage), "dvc.yaml lists what the stage does not import"


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
