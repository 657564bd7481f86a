"""Progress: a line now and then in a log, tqdm's bar on a terminal."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from overtone.core import progress
from tests.helpers import ROOT


def test_results_pass_in_order_and_the_last_line_says_that_all_are_done(capsys):
    assert list(progress.report_progress(iter("abc"), 3, "degrade: shard")) == ["a", "b", "c"]
    assert capsys.readouterr().out == "degrade: shard: 3/3, 00:00, 00:00 left\n"


def test_a_log_gets_a_line_after_so_many_seconds(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.open_bar("letter", 3) as bar:
        for _ in range(3):
            bar.update()
    counts = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert counts == ["letter: 1/3", "letter: 2/3", "letter: 3/3"]


@pytest.mark.parametrize(
    ("total", "text"), [(7 << 30, "download a: 5.00G/7.00G"), (None, "download a: 5.00G/?")]
)
def test_bytes_have_units_and_those_that_were_there_count(capsys, total, text):
    with progress.open_bar("download a", total, "B", done=3 << 30) as bar:
        bar.update(2 << 30)
    assert capsys.readouterr().out.startswith(text)


def test_a_terminal_gets_one_line_that_is_drawn_again():
    code = "from overtone.core.progress import report_progress as r; list(r(iter('ab'), 2, 'letter'))"
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], stdout=writer, env=environment, check=True)
    os.close(writer)
    shown = os.read(reader, 4096).decode()
    assert shown.count("\n") == 1
    assert "\rletter: 100%" in shown
