"""The work folder: removed at the end, and after a run that was killed by the next."""

import http.client
import os
import re
import subprocess
import sys

import pytest

from overtone.app.work import content_size, open_work
from overtone.core.errors import OvertoneError
from tests.helpers import ROOT

KILLED = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "src")!r})
from overtone.app.work import open_work
with open_work(Path(sys.argv[1])) as (folder, _):
    (folder / "source.wav").write_bytes(bytes(1000000))
    os._exit(9)
"""


def test_a_run_removes_its_folder_and_only_that(tmp_path):
    (tmp_path / "mine").write_text("")
    with open_work(tmp_path) as (folder, leftovers):
        (folder / "source.wav").write_bytes(bytes(100))
        assert content_size(folder) == (1, 100)
        assert leftovers == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_a_killed_run_left_is_removed_and_said(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    with open_work(tmp_path) as (_, leftovers):
        assert leftovers == [f"removed 1 files (1 MB) that a run left in {left}"]
        assert not left.exists()


def test_the_command_keeps_to_its_options_and_what_a_kill_leaves_is_removed(tmp_path):
    command = [sys.executable, "-m", "overtone", "app", "--host", "0.0.0.0", "--port", "0"]
    command += ["--work", tmp_path / "work", "--max-size", "0.001"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        port, token = re.fullmatch(
            r".* http://127.0.0.1:(\d+)/(.{20,})/\n", process.stdout.readline()
        ).groups()

        def status(method, path, body=None):
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        files = f"/tabs/{'0' * 32}/files?name=a.wav"
        assert status("GET", "/") == 403
        assert status("POST", files, bytes(1000)) == 403
        assert status("GET", f"/{token}/") == 200
        assert status("POST", f"/{token}{files}", bytes(1_000_001)) == 413
        assert status("POST", f"/{token}{files}", bytes(1_000_000)) == 201
        process.kill()
    (left,) = (tmp_path / "work").iterdir()
    assert list(left.rglob("source.wav"))
    with open_work(tmp_path / "work") as (_, leftovers):
        assert leftovers == [f"removed 1 files (1 MB) that a run left in {left}"]


def test_a_run_that_goes_on_is_left_alone(tmp_path):
    with open_work(tmp_path) as (first, _):
        (first / "source.wav").write_bytes(bytes(100))
        with open_work(tmp_path) as (_, leftovers):
            assert leftovers == []
        assert (first / "source.wav").exists()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OvertoneError, match="cannot be used as work folder"), open_work(tmp_path / "file"):
        pass
