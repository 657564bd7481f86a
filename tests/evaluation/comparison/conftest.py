"""Chunks, outside programs and networks for the tests of systems."""

import sys
import textwrap

import pandas as pd
import pytest
import torch
import yaml

from overtone.evaluation.comparison import systems
from overtone.evaluation.comparison.chunks import Chunk
from overtone.models import registry
from overtone.restoration.stream.analysis import DEFAULTS
from tests.helpers.sound import make

EVERY_FILE = """
import pathlib, sys
import numpy, soundfile
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.wav")):
    samples, rate = soundfile.read(path, always_2d=True, dtype="float32")
"""
WRITE = """
    soundfile.write(pathlib.Path(sys.argv[2]) / path.name, samples, rate, subtype="FLOAT")
"""


@pytest.fixture
def chunks(low):
    """Two chunks of music that stops at the cutoff."""
    none = pd.DataFrame(columns=["track_id", "pair", "start", "length", "channel"])
    both = [torch.from_numpy(low), torch.from_numpy(0.5 * low[:, ::-1].copy())]
    return [Chunk(5, part, samples, samples, none) for part, samples in enumerate(both)]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Recipes by name, given as what each does to `samples` of every file, in a folder of their own."""
    monkeypatch.chdir(tmp_path)

    def write(**bodies):
        recipes = {
            name: {
                "command": "{python} {script} {input} {output}",
                "install": "ask",
                "python": sys.executable,
                "timeout": 60,
                "script": EVERY_FILE + textwrap.indent(body, "    ") + WRITE,
            }
            for name, body in bodies.items()
        }
        (tmp_path / "programs.yaml").write_text(yaml.safe_dump(recipes))

    return write


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Replace the output of every network by a function of the samples."""
    registry.save(make("unet"), "unet", tmp_path / "some/model", {})

    def replace(function):
        def run_network(net, samples, cutoff, rate, options=DEFAULTS):
            output = function(samples)
            return systems.with_low_band(output, samples, cutoff, rate) if options.keep_low else output

        monkeypatch.setattr(systems, "run_network", run_network)
        return str(tmp_path / "some/model")

    return replace
