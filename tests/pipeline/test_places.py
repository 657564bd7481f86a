"""The pipeline in other places than a Git repository of its own: in a folder of one, and in none."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import named_systems
from tests.helpers import ROOT

BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "GIT_CEILING_DIRECTORIES": "/tmp",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def run(folder, *words):
    done = subprocess.run(
        words, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("prefix", ["", "deep/project"])
def test_the_model_of_a_revision_is_found_in_a_folder_of_a_repository_too(tmp_path, prefix):
    project = tmp_path / "repository" / prefix
    (project / "data/model").mkdir(parents=True)
    (project / "data/model/model.json").write_text("old")
    run(tmp_path / "repository", "git", "init", "-q")
    run(project, sys.executable, "-m", "dvc", "init", "-q", *(["--subdir"] if prefix else []))
    run(project, sys.executable, "-m", "dvc", "add", "-q", "data/model")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "old")
    shutil.rmtree(project / "data/model")
    with contextlib.chdir(project):
        found = named_systems._fetch_revision("HEAD", tmp_path / "found")
        assert (found / "model.json").read_text() == "old"
        with pytest.raises(OvertoneError, match="model@nowhere, which cannot be had"):
            named_systems._fetch_revision("nowhere", tmp_path / "other")


def test_a_source_archive_without_git_runs_after_make_has_told_dvc(tmp_path):
    for name in run(ROOT, "git", "ls-files", ".dvc", "dvc.yaml", "params.yaml", "Makefile", "stages").split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "ready").touch()  # the environment, which is not set up here
    run(tmp_path, "make", f"VENV={tmp_path}", "-o", f"{tmp_path}/ready", "scm")
    assert "no_scm = true" in (tmp_path / ".dvc/config.local").read_text()
    assert "download_fma" in run(tmp_path, "dvc", "stage", "list", "--name-only")
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "make", f"VENV={tmp_path}", "-o", f"{tmp_path}/ready", "scm")
    assert "no_scm" not in (tmp_path / ".dvc/config.local").read_text()


def test_make_deletes_the_empty_file_of_locks_that_a_killed_dvc_leaves(tmp_path):
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, sys.executable, "-m", "dvc", "init", "-q")
    (tmp_path / "dvc.yaml").write_text("stages: {touch: {cmd: touch out, outs: [out]}}")
    locks = tmp_path / ".dvc/tmp/rwlock"
    locks.write_text("")
    refused = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "Unable to read RWLock-file '.dvc/tmp/rwlock'" in refused.stderr
    (tmp_path / "ready").touch()
    for text in ("", "{}"):
        locks.write_text(text)
        run(tmp_path, "make", f"VENV={tmp_path}", "-o", f"{tmp_path}/ready", "scm")
        assert locks.exists() == bool(text)
    run(tmp_path, sys.executable, "-m", "dvc", "repro")
