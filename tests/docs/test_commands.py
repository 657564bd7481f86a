"""Every `dvc exp run` line that we print is one that DVC takes, with params that there are."""

import itertools
import re
import shlex
import shutil
import subprocess

import pytest
from dvc.utils import hydra
from dvc.utils.cli_parse import to_path_overrides

from tests.helpers import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md"))]


def commands(text):
    """The `dvc exp run` commands of a text, in code blocks and in code spans, each as its words."""
    for found in re.finditer(r"dvc exp run((?:\\\n|[^\n`])*)", text):
        yield shlex.split(found[1], comments=True)


def overrides(words):
    """What follows each -S or --set-param."""
    following = itertools.pairwise(words)
    return [value for option, value in following if option in ("-S", "--set-param")]


LINES = {
    f"{page.relative_to(ROOT)}: {' '.join(words)}": words
    for page in PAGES
    for words in commands(page.read_text())
    if "-S" in words
}


def check(words, folder):
    for path, lines in to_path_overrides(overrides(words)).items():
        shutil.copyfile(ROOT / path, folder / path)
        sweep = list(hydra.get_hydra_sweeps({path: lines}))
        assert len(sweep) == 1 or "--queue" in words
        for single in sweep:
            hydra.apply_overrides(folder / path, single[path])


def test_lines_are_found_on_more_than_one_page():
    assert len(LINES) >= 5
    assert len({line.split(":")[0] for line in LINES}) > 1


@pytest.mark.parametrize("line", LINES)
def test_a_line_sets_params_that_there_are(line, tmp_path):
    check(LINES[line], tmp_path)


@pytest.mark.parametrize("target", ["paper", "paper-first"])
def test_so_do_the_papers_runs_of_the_makefile(target, tmp_path):
    shown = subprocess.run(
        ["make", "-n", target], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    (words,) = commands(shown.replace("\\\n", " "))
    assert len(overrides(words)) > 5
    check(words, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    ["evaluate.systems=[model,model@HEAD~1]", "train.speed=1", "model.unet.channels=[64", "train.lr=1,2"],
)
def test_what_dvc_refuses_is_noticed(wrong, tmp_path):
    with pytest.raises(Exception):  # noqa: B017, PT011 -- Hydra's errors, or ours
        check(["-S", wrong], tmp_path)
