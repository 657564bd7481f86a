"""A queue of experiments, docs/sharing.md, and the folders that their copies share."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from tests.helpers import ROOT
from tests.helpers.workspace import SYSTEMS


def shared(folder):
    """The folders that stages of a checkout in this folder would use, as its stages/__init__.py says."""
    (folder / "stages").mkdir(parents=True)
    shutil.copyfile(ROOT / "stages/__init__.py", folder / "stages/__init__.py")
    names = "RUNS", "DOWNLOADS", "PROGRAMS"
    script = f"import os, stages; print(*(os.environ.get('OVERTONE_' + name) for name in {names}))"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OVERTONE_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=clean, check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.parametrize("copy", ["tmpab", "standalone/tmpab"])
def test_a_queued_copy_shares_what_git_ignores_with_the_tree_it_came_from(tmp_path, copy):
    own = [str(tmp_path / name) for name in (".runs", ".downloads", ".programs")]
    assert shared(tmp_path / ".dvc/tmp/exps" / copy) == own


def test_a_checkout_of_its_own_keeps_its_own_folders(tmp_path):
    assert shared(tmp_path / "project") == ["None"] * 3


def refs(workspace):
    """The experiments that there are: name -> commit."""
    lines = workspace.run(
        "git", "for-each-ref", "refs/exps", "--format=%(refname) %(objectname)"
    ).splitlines()
    found = (line.split() for line in lines if re.match(r"refs/exps/[0-9a-f]{2}/", line))
    return {name.rpartition("/")[2]: commit for name, commit in found}


# In every Python that finds it: a train stage waits until another one has begun, or three minutes long.
MEET = """\
import os, pathlib, sys, time

if "stages.train" in sys.orig_argv:
    began = pathlib.Path(__file__).parent / "began"
    (began / str(os.getpid())).touch()
    until = time.monotonic() + 180
    while len(list(began.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    if time.monotonic() >= until:
        sys.exit("no other one has begun to train")
"""


def test_two_workers_run_a_queue_side_by_side_as_each_would_alone(workspace, tmp_path):
    """About 40 s on a core of its own: DVC alone takes half of that."""
    (tmp_path / "sitecustomize.py").write_text(MEET)
    (tmp_path / "began").mkdir()
    rates = ("0.0004", "0.002")  # no other test's: a rate that has been trained with comes from the run-cache
    workspace.run("dvc", "exp", "run", "--queue", "-S", f"train.lr={','.join(rates)}")
    before = refs(workspace)
    # Not by `run`: the workers inherit its pipe, so that it would wait for their end.
    assert workspace.start("dvc", "queue", "start", "--jobs", "2", PYTHONPATH=str(tmp_path)).wait(300) == 0
    copies, deadline = workspace.folder / ".dvc/tmp/exps", time.monotonic() + 900
    while len(refs(workspace).keys() - before.keys()) < 2 or list(copies.glob("tmp*")):
        status = workspace.run("dvc", "queue", "status")
        assert "Failed" not in status, status
        assert time.monotonic() < deadline, status
        time.sleep(1)
    assert len(list((tmp_path / "began").iterdir())) == 2

    def of(commit, name):
        return workspace.run("git", "show", f"{commit}:{name}")

    made = {}
    for name in refs(workspace).keys() - before.keys():
        commit = refs(workspace)[name]
        rate = str(yaml.safe_load(of(commit, "params.yaml"))["train"]["lr"])
        made[rate] = {path: of(commit, path) for path in ("metrics/train.json", "plots/loss.csv")}
        assert list(json.loads(of(commit, "metrics/test.json"))["systems"]) == SYSTEMS
    assert sorted(made) == sorted(rates)
    assert made[rates[0]] != made[rates[1]]
    assert not list((workspace.folder / ".runs").iterdir()), (
        "unfinished runs were kept here, now they are done"
    )
    workspace.set("train", lr=float(rates[0]))
    workspace.stage("train")
    assert {path: (workspace.folder / path).read_text() for path in made[rates[0]]} == made[rates[0]]
