"""bench/recordings.py takes the louder window nearest the middle of the longest recordings of each artist."""

import csv

import numpy as np
import pytest

from bench import recordings

RATE = 100  # enough for powers by second


def levels(*amplitudes):
    """A second at each amplitude, on two channels."""
    return np.repeat(np.float32(amplitudes), RATE)[None] * np.float32([[1], [0.5]])


@pytest.mark.parametrize(
    ("amplitudes", "seconds", "first"),
    [
        ((1, 1, 1, 1, 1, 1, 1), 3, 2),  # all alike: the middle
        ((9, 9, 9, 1, 1, 1, 1, 1, 2, 2), 2, 2),  # sums of squares 162 162 82 2 2 2 2 5 8, so that 5 is enough
        ((1, 1, 1, 1, 0, 0, 0, 0, 0, 5, 5), 2, 2),  # the middle is silent, the end is farther
        ((1, 2), 3, 0),  # all there is
    ],
)
def test_the_louder_window_nearest_the_middle_is_taken(amplitudes, seconds, first):
    assert recordings.louder_middle(levels(*amplitudes), seconds, RATE) == first * RATE


def test_a_set_has_forty_artists_and_the_longest_recordings_of_each(tmp_path):
    lengths = {}
    for table, _ in recordings.SETS["test"].values():
        with (recordings.RECIPES / table).open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                path = tmp_path / row["source"].partition("github.com/")[2].replace("/", "__") / row["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                lengths[path] = row["artist"], float(row["seconds"])
    chosen = recordings.choose("test", tmp_path, 1)
    assert len({recording.name for recording in chosen}) == len(chosen) >= 40
    for recording in chosen:
        artist, seconds = lengths[recording.file]
        assert seconds == max(length for name, length in lengths.values() if name == artist)
    assert {recording.name.split("/")[0] for recording in chosen} == {"recordings", "voices"}


def artists(of_set):
    found = set()
    for table, _ in recordings.SETS[of_set].values():
        with (recordings.RECIPES / table).open(encoding="utf-8") as file:
            found |= {row["artist"] for row in csv.DictReader(file)}
    return found


def test_a_fifth_of_the_artists_is_kept_from_training():
    kept = [artist for artist in artists("validation") if recordings.held_out(artist)]
    share = len(kept) / len(artists("validation"))
    assert abs(share - 1 / 5) < 0.1  # two deviations of a binomial distribution of 78 artists


def test_the_sets_share_no_artist():
    assert artists("test").isdisjoint(artists("validation"))


def test_a_folder_without_the_recordings_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no recording of recipes/music_real_test\.csv"):
        recordings.choose("test", tmp_path, 1)
