"""Params of all stages are checked before a long stage begins."""

import contextlib
import io
import runpy
import shutil

import pytest
import yaml

from stages.check import check_all
from tests.helpers import ROOT


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
    ],
)
@pytest.mark.parametrize("stage", ["download_fma"])
def test_a_fault_of_any_stage_ends_the_first_one_with_a_line(project, stage, group, values, line):
    project(group, **values)
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
    assert end.value.code == 2
    assert printed.getvalue().startswith(f"error: {line}")
    assert printed.getvalue().count("\n") == 1


@pytest.mark.parametrize("stage", ["degrade", "train"])
def test_later_long_stages_check_all_of_them_too(project, stage):
    project("evaluate", systems=["modell"])
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
    assert printed.getvalue().startswith("error: evaluate.systems names 'modell'; ")
