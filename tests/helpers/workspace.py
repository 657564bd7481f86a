"""A repository of its own with tiny settings and music, in which the pipeline runs for real."""

import contextlib
import copy
import csv
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import yaml

from tests.helpers import ROOT

ALL = ["download_fma", "select_subset", "split", "degrade", "segment", "train", "evaluate", "report"]
# After two epochs the network's own level is too far off to be aligned: it has no row for that.
SYSTEMS = ["input", "silence", "noise fill", "band replication", "model", "network alone"]
TINY = {
    "select": {"tracks": None},
    "degrade": {"tracks_per_shard": 4},
    "segment": {"length": 8192, "hop": 8192, "per_track": 4},
    "model": {"unet": {"channels": [2, 2, 2, 2]}},
    "train": {"epochs": 2, "batch": 4, "micro_batch": 4, "precision": "float32"},
    "evaluate": {"resamples": 100, "pictures": 1, "excerpt": 0.5},
}


class Workspace:
    """A copy of this checkout's files with tiny settings and music, committed to a Git of its own."""

    def __init__(self, folder, music):
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(
            listed, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split():
            # Without results: this repository starts from nothing.
            if (ROOT / name).is_file() and not name.startswith(("metrics/", "plots/", "dvc.lock")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        values = yaml.safe_load((folder / "params.yaml").read_text())
        for group, changes in (TINY | {"download": {"folder": str(music)}}).items():
            values[group] |= changes
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        bin_folder = Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            # A second process loads PyTorch again for two seconds of music; the first run has two.
            "OVERTONE_JOBS": "1",
            "OVERTONE_DEVICE": "cpu",
            "COLUMNS": "200",
        }
        self.environment.pop("PYTHONPATH", None)
        self.run("git", "init", "-q")
        self.run("git", "config", "user.email", "test@example.org")
        self.run("git", "config", "user.name", "test")
        self.commit()

    def command(self, *words):
        return [sys.executable, "-m", "dvc", *words[1:]] if words[0] == "dvc" else list(words)

    def run(self, *words, code=0, **environment):
        """Run a command to its end; returns what it printed on both outputs."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def clone(self, folder):
        """Another workspace, cloned from this one's Git as a colleague would."""
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        other = copy.copy(self)
        other.folder = folder
        return other

    def start(self, *words, stderr=subprocess.DEVNULL, **environment):
        """Start a command in a process group of its own, to be killed."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def stage(self, name, code=0, **environment):
        """Run a stage in this process, which saves loading PyTorch; returns both its outputs."""
        printed = io.StringIO()
        variables = self.environment | {"OVERTONE_JOBS": "1"} | environment
        with (
            mock.patch.dict(os.environ, variables),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            try:
                runpy.run_path(str(ROOT / f"stages/{name}.py"), run_name="__main__")
                ended = 0
            except SystemExit as end:
                ended = end.code
        assert ended == code, printed.getvalue()
        return printed.getvalue()

    def copy(self, folder):
        """Another workspace with the same files, DVC's cache and Git's history."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = copy.copy(self)
        other.folder = folder
        return other

    def commit(self):
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", "state")

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    def loss(self):
        return (self.folder / "plots/loss.csv").read_text()

    def rows(self, name):
        return list(csv.DictReader((self.folder / name).read_text().splitlines()))

    def set(self, group, **changes):
        values = yaml.safe_load((self.folder / "params.yaml").read_text())
        values[group] |= changes
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values))


def write_music(folder):
    """Six artists with a file each, one of 48 kHz stereo; and one file that is no audio.

    Genre and title are words that pandas takes for gaps.
    """
    rng = np.random.default_rng(5)
    for artist in range(6):
        rate, channels = (48000, 2) if artist == 2 else (44100, 1)
        (folder / f"artist {artist}").mkdir(parents=True)
        samples = 0.3 * rng.uniform(-1, 1, (int(1.5 * rate), channels))
        path = folder / f"artist {artist}" / "noise.flac"
        with soundfile.SoundFile(path, "w", rate, channels) as file:
            file.genre, file.title = "None", "null"
            file.write(samples)
    (folder / "artist 0" / "broken.mp3").write_bytes(b"no audio")
    return folder


def stages_run(output):
    """The stages that DVC says it ran."""
    return re.findall(r"Running stage '(\w+)'", output)
