"""Params of all stages are checked before any stage begins, whichever is the first that runs."""

import contextlib
import io
import runpy
import shutil
from pathlib import Path

import pytest
import yaml

from overtone.core.errors import OvertoneError
from stages import check, checked
from stages.check import check_all
from tests.helpers import ROOT
from tests.helpers.workspace import ALL, stages_run


@pytest.fixture
def project(tmp_path):
    """A folder with the params and recipes of this one; `change` sets params."""
    for name in ("params.yaml", "programs.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)

    def change(group, **values):
        params = yaml.safe_load((tmp_path / "params.yaml").read_text())
        params[group] |= values
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))

    with contextlib.chdir(tmp_path):
        yield change


def test_the_committed_params_pass(project):
    check_all()


@pytest.mark.parametrize(
    ("group", "values", "line"),
    [
        ("download", {"subset": "tiny"}, "download.subset is 'tiny'; it is one of mini, "),
        ("select", {"tracks": 0}, "select.tracks is 0; it is "),
        ("split", {"by": "album"}, "split.by is 'album'; it is one of artist, "),
        ("degrade", {"cutoff": 1.4}, "degrade.cutoff is 1.4; it is "),
        ("segment", {"length": 1024}, "segment.length is 1024; it is long enough for train.loss"),
        ("model", {"name": "vocoder"}, "model.name is 'vocoder'; it is one of "),
        ("train", {"lr": "fast"}, "train.lr is 'fast'; it is a number"),
        ("train", {"from": "nowhere"}, "train.from is 'nowhere'"),
        ("evaluate", {"resamples": 1}, "evaluate.resamples is 1; it is "),
        ("evaluate", {"cutoffs": [4800]}, "evaluate.cutoffs is [4800.0]; it is below "),
        ("evaluate", {"systems": ["model", "modell"]}, "evaluate.systems names 'modell'; it is model, "),
        ("evaluate", {"systems": ["runs/big"]}, "evaluate.systems names 'runs/big': runs/big holds no model"),
        ("select", {"seed": "x" * 5000}, f"select.seed is '{'x' * 47}...{'x' * 48}'; it is a whole number"),
        ("evaluate", {"systems": ["model@old"]}, "evaluate.systems names model@old, which cannot be had: "),
    ],
)
@pytest.mark.parametrize("stage", ALL)
def test_a_fault_of_any_stage_ends_every_stage_with_a_line(project, stage, group, values, line):
    project(group, **values)
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
    assert end.value.code == 2
    assert printed.getvalue().startswith(f"error: {line}")
    assert printed.getvalue().count("\n") == 1


@pytest.fixture
def checks(project, monkeypatch):
    """A list with an entry for each call of `check_all`; there is a folder of DVC's."""
    Path(".dvc").mkdir()
    calls = []
    monkeypatch.setattr(check, "check_all", lambda: calls.append(1) or check_all())
    return calls


def test_params_that_passed_are_not_checked_again_until_they_change(project, checks):
    for _ in range(3):
        checked.check_params(ROOT)
    assert len(checks) == 1
    project("split", seed=2)
    checked.check_params(ROOT)
    assert len(checks) == 2


def test_params_that_failed_are_checked_again(project, checks):
    project("train", lr="fast")
    for _ in range(2):
        with pytest.raises(OvertoneError, match=r"train\.lr is 'fast'"):
            checked.check_params(ROOT)
    project("train", lr=0.01)
    checked.check_params(ROOT)
    assert len(checks) == 3


def test_other_code_checks_again(project, checks, tmp_path):
    checked.check_params(ROOT)
    other = tmp_path / "other/src/overtone/training"
    other.mkdir(parents=True)
    (other / "settings.py").write_text("stricter = True")
    checked.check_params(tmp_path / "other")
    assert len(checks) == 2


def test_a_wrong_param_of_a_later_stage_ends_the_run_before_work_begins(workspace):
    workspace.set("train", lr="fast")
    workspace.set("split", seed=2)
    output = workspace.run("dvc", "repro", code=255)
    assert stages_run(output) == ["split"]
    assert [line for line in output.splitlines() if line.startswith("error: ")] == [
        "error: train.lr is 'fast'; it is a number"
    ]


def test_a_misspelt_group_is_named(project):
    path = Path("params.yaml")
    path.write_text(path.read_text() + "evalute: {seed: 2}\n")
    with pytest.raises(
        OvertoneError, match=r"^'evalute' is no group of params\.yaml; it has download, select, "
    ):
        check_all()
