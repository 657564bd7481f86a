"""The plan of a restore command: which files, where to, what is there already."""

import io
import os
import sys
from pathlib import Path

import pytest

from overtone.cli.inputs import STANDARD, Job, plan, save_standard_input
from overtone.core.errors import OvertoneError
from tests.helpers.films import Sound, write_film


@pytest.fixture
def music(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("music/a.mp3", "music/film.webm", "music/b/c.MKV", "music/b/talk.vob"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")
    return tmp_path


def sources(jobs):
    return [str(job.source) for job in jobs]


def test_films_are_found_too(music):
    assert sources(plan(["music"], None).jobs) == [
        "music/a.mp3",
        "music/film.webm",
        "music/b/c.MKV",
        "music/b/talk.vob",
    ]


def test_transport_streams_are_told_from_typescript(music):
    Path("music/b/main.ts").write_text("export const GAIN = 1;" * 30)
    Path("music/b/short.ts").write_text("G")
    Path("music/b/tv.ts").write_bytes((b"G" + bytes(187)) * 3)
    Path("music/b/disc.mts").write_bytes((bytes(4) + b"G" + bytes(187)) * 3)
    assert {"music/b/tv.ts", "music/b/disc.mts"} == {
        name for name in sources(plan(["music"], None).jobs) if name.endswith("ts")
    }


@pytest.mark.parametrize("output", [None, "out/"])
def test_a_second_run_does_what_is_new(music, output):
    first = plan(["music"], output)
    assert (len(first.jobs), first.skipped) == (4, 0)
    for job in first.jobs[:3]:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        job.target.touch()
    second = plan(["music"], output)
    assert (second.jobs, second.failures, second.skipped) == (first.jobs[3:], [], 3)
    assert plan(["music"], output, force=True).jobs == first.jobs


def test_a_file_that_is_named_is_never_skipped(music):
    Path("music/a.restored.flac").touch()
    assert plan(["music/a.mp3"], None).jobs == [Job(Path("music/a.mp3"), Path("music/a.restored.flac"))]


def test_standard_input_goes_to_standard_output():
    assert plan(["-"], None).jobs == [Job(STANDARD, STANDARD)]


class _Input:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def test_standard_input_is_saved(tmp_path, monkeypatch):
    data = os.urandom(3_000_000)
    monkeypatch.setattr(sys, "stdin", _Input(data))
    save_standard_input(tmp_path / "in")
    assert (tmp_path / "in").read_bytes() == data


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full device")
def test_a_full_temporary_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "overtone-x").mkdir()
    (tmp_path / "overtone-x/in").symlink_to("/dev/full")
    monkeypatch.setattr(sys, "stdin", _Input(b"x" * 100))
    with pytest.raises(OvertoneError) as caught:
        save_standard_input(tmp_path / "overtone-x/in")
    assert str(caught.value).startswith(
        f"{tmp_path}, the folder of temporary files, cannot take standard input: No"
    )
    assert "TMPDIR" in str(caught.value)


@pytest.mark.parametrize("output", [None, "out/"])
def test_a_film_in_a_folder_is_written_as_a_film(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    Path("b").mkdir()
    write_film("b/film.mov", [Sound("pcm_s16le", "eng")])
    write_film("b/old.avi", [Sound("mp2", "eng")])
    folder = Path("b" if output is None else "out")
    assert [job.target for job in plan(["b"], output).jobs] == [
        folder / "film.restored.mov",
        folder / "old.restored.flac",
    ]
