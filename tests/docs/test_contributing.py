"""The examples in CONTRIBUTING.md apply to the code as it is, and work."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: (diff, code)
    for title, diff, code in re.findall(
        r"^### (A new [^\n]+)\n.*?```diff\n(.*?)```.*?```python\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE
    )
}
KINDS = ("model", "loss", "metric", "degradation", "file format")


def test_there_is_one_for_each_kind_of_addition():
    assert list(EXAMPLES) == [f"A new {kind}" for kind in KINDS]


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_applies_and_works(tmp_path, title):
    diff, code = EXAMPLES[title]
    for name in ("src", "params.yaml", "stages"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    # Outside of a repository, `git apply` works on plain files.
    variables = os.environ | {
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "GIT_DIR": str(tmp_path / "none"),
    }
    applied = subprocess.run(
        ["git", "apply", "--recount", "-"],
        input=diff,
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert applied.returncode == 0, applied.stderr
    variables |= {"PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
