"""docs/architecture.md names every package, and no other; docs/pipeline.md is what the code says."""

import re
import subprocess
import sys

from tests.helpers import ROOT

PACKAGE = ROOT / "src/overtone"


def named():
    """The folders that the page's tree names, as paths below src/overtone."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = text.partition("src/overtone/\n")[2].partition("```")[0]
    folders, above = set(), []
    for line in tree.splitlines():
        entry = re.match(r"( +)(\w+)/ ", line)
        assert entry, line
        depth = len(entry[1]) // 2 - 1
        above = [*above[:depth], entry[2]]
        folders.add("/".join(above))
    return folders


def test_it_names_every_package_and_no_other():
    there = {
        folder.relative_to(PACKAGE).as_posix()
        for folder in PACKAGE.rglob("*")
        if folder.is_dir() and folder.name != "__pycache__" and any(folder.glob("[!.]*.*"))
    }
    # A package that holds packages alone has an __init__.py, which counts.
    assert named() == there


def test_the_page_on_the_pipeline_is_what_the_code_says():
    code = "import tools.pipeline_page as p, sys; sys.stdout.buffer.write(p.page().encode())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert (ROOT / "docs/pipeline.md").read_text(encoding="utf-8") == done.stdout, (
        "run python tools/pipeline_page.py"
    )
