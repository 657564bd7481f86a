"""Pairs: their need of disk is known before any track is decoded, and a disk that runs full is one line."""

import re

import pytest
import soundfile

from overtone.core.errors import OvertoneError
from overtone.data.preparation import disk_needs, write_pairs
from overtone.data.preparation.disk_needs import estimate_bytes
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
