"""Pairs: their need of disk is known before any track is decoded, and a disk that runs full is one line."""

import contextlib
import re
from pathlib import Path

import pytest
import soundfile
from dvc.repo import Repo

from overtone.core.errors import OvertoneError
from overtone.data.preparation import disk_needs, write_pairs
from overtone.data.preparation.disk_needs import check_disk, estimate_bytes
from tests.helpers.small_disk import small_disk

RATE = 44100


@pytest.fixture
def tracks(tmp_path, rng):
    """Six tracks of half a second: mono, stereo, another rate, and one that is no sound."""
    found = []
    for number, (channels, rate) in enumerate([(1, RATE), (2, RATE), (1, 22050), (1, RATE), (2, RATE)]):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, rng.uniform(-0.3, 0.3, (rate // 2, channels)), rate)
        found.append((number, path))
    (tmp_path / "5.mp3").write_bytes(b"no sound")
    return [*found, (5, tmp_path / "5.mp3")]


@pytest.mark.parametrize(
    "changes", [{}, {"store": False}, {"channels": "separate"}, {"channels": "separate", "store": False}]
)
def test_the_estimate_is_what_is_written(tracks, tmp_path, degrade_settings, changes):
    settings = degrade_settings(**changes)
    written = write_pairs.write_pairs(tracks, settings, tmp_path / "pairs", None)
    size = sum(path.stat().st_size for path in (tmp_path / "pairs").glob("*.i16"))
    assert written.left_out == 1
    assert size == pytest.approx(estimate_bytes(tracks, settings), rel=0.001)


def test_of_many_tracks_some_are_opened(tracks, degrade_settings, monkeypatch):
    settings, many = degrade_settings(), tracks[:1] * 500
    once = estimate_bytes(tracks[:1], settings)
    opened = []
    frames = disk_needs._frames
    monkeypatch.setattr(disk_needs, "_frames", lambda *call: opened.append(call) or frames(*call))
    assert estimate_bytes(many, settings) == pytest.approx(500 * once)
    assert len(opened) <= 2 * disk_needs.SAMPLE


def test_too_small_a_disk_is_found_before_the_old_pairs_are_deleted(tracks, tmp_path, degrade_settings):
    with small_disk(tmp_path / "disk", "200k") as disk:
        (disk / "pairs").mkdir()
        (disk / "pairs/old.i16").write_bytes(bytes(1000))
        with pytest.raises(OvertoneError) as caught:
            write_pairs.write_pairs(tracks, degrade_settings(), disk / "pairs", None)
        line = r"the disk of \S+ has \d+ KiB free, data/pairs needs \d+ KiB: \d+ KiB are missing; make room"
        assert re.match(line, str(caught.value))
        assert (disk / "pairs/old.i16").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_disk_that_runs_full_meanwhile_is_one_line(tracks, tmp_path, degrade_settings, monkeypatch, jobs):
    monkeypatch.setattr(write_pairs, "check_disk", lambda *_: 400_000)
    monkeypatch.setenv("OVERTONE_JOBS", jobs)
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(OvertoneError, match=r"the disk of \S+ has .*data/pairs needs 391 KiB"):
            write_pairs.write_pairs(tracks, degrade_settings(), disk / "pairs", None)
        # A second worker is killed while it writes; git and DVC ignore what it leaves.
        assert jobs == "2" or not list(disk.glob("pairs/*.part"))


def test_pairs_in_a_folder_elsewhere_need_its_disk(tracks, tmp_path, degrade_settings):
    with (
        small_disk(tmp_path / "disk", "200k") as disk,
        pytest.raises(OvertoneError, match=rf"the disk of {tmp_path}/disk has"),
    ):
        write_pairs.write_pairs(tracks, degrade_settings(), tmp_path / "pairs", str(disk / "shards"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project on a disk of 700 KiB, in which DVC runs a stage; the pairs of `tracks` need 431 KiB."""
    monkeypatch.setenv("DVC_STAGE", "degrade")
    with small_disk(tmp_path / "disk", "700k") as disk, contextlib.chdir(disk):
        Repo.init(".", no_scm=True).close()
        yield disk


def set_cache(repo_folder, **options):
    with Repo(str(repo_folder)) as repo, repo.config.edit("local") as config:
        config["cache"] = options


def check(tracks, settings):
    return check_disk(tracks, settings, Path("data"), Path("data/pairs"))


def test_the_copy_in_dvcs_cache_is_counted(project, tracks, degrade_settings):
    line = r"the disk of \S+/disk has \d+ KiB free, data/pairs with the copy in DVC's cache needs \d+ KiB: "
    with pytest.raises(OvertoneError, match=line) as caught:
        check(tracks, degrade_settings())
    assert "puts the cache on another disk" in str(caught.value)
    needs, missing = map(int, re.findall(r"(?:needs|:) (\d+) KiB", str(caught.value)))
    assert needs == pytest.approx(2 * estimate_bytes(tracks, degrade_settings()) / 1024, abs=1)
    assert 0 < missing < needs


def test_a_stage_run_by_hand_has_no_copy(project, tracks, degrade_settings, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    assert check(tracks, degrade_settings())


def test_a_linked_copy_takes_no_space(project, tracks, degrade_settings):
    set_cache(project, type="hardlink,copy")
    assert check(tracks, degrade_settings())


def test_a_cache_on_another_disk_has_room_of_its_own(project, tracks, degrade_settings, tmp_path):
    set_cache(project, dir=str(tmp_path / "cache"))
    assert check(tracks, degrade_settings())
    with small_disk(tmp_path / "small", "100k") as other:
        set_cache(project, dir=str(other / "cache"))
        line = rf"the disk of {other}/\S+ has \d+ KiB free, DVC's copy of data/pairs needs"
        with pytest.raises(OvertoneError, match=line):
            check(tracks, degrade_settings())
