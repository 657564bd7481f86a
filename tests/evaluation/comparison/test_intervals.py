"""Means and intervals against theory, paired comparisons, and the CSV of all scores."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from overtone.evaluation.comparison.intervals import summarize, write_csv
from overtone.evaluation.metrics.registry import TESTED
from tests.helpers.scores import GENRES, SYSTEMS, results, scores


def test_mean_is_over_all_tracks_to_five_digits() -> None:
    expected = np.mean([values["lsd"] for values in scores()["model"].values()])
    assert results()["systems"]["model"]["lsd"]["mean"] == float(f"{expected:.5g}")
    assert results()["tracks"] == 60


def test_genre_means_are_over_their_own_tracks() -> None:
    found = results()["genres"]
    assert list(found) == ["Old-Time / Historic", "Rock", "none"]
    rock = [scores()["model"][track]["snr"] for track, genre in GENRES.items() if genre == "Rock"]
    assert found["Rock"]["model"]["snr"]["mean"] == float(f"{np.mean(rock):.5g}")
    half = 1.96 * np.std(rock) / math.sqrt(len(rock))
    width = found["Rock"]["model"]["snr"]["high"] - found["Rock"]["model"]["snr"]["low"]
    assert width / 2 == pytest.approx(half, rel=0.15)


def test_interval_is_that_of_the_normal_distribution_for_normal_scores() -> None:
    values = [track["l1"] for track in scores()["input"].values()]
    half = 1.96 * np.std(values) / math.sqrt(len(values))
    found = summarize({"input": scores()["input"]}, GENRES, resamples=20_000)["systems"]["input"]["l1"]
    assert found["mean"] - found["low"] == pytest.approx(half, rel=0.05)
    assert found["high"] - found["mean"] == pytest.approx(half, rel=0.05)


def test_same_seed_gives_the_same_intervals() -> None:
    assert results() == results()
    assert summarize(scores(), GENRES, seed=1) != results()


def test_order_of_tracks_does_not_matter() -> None:
    turned = {system: dict(reversed(of_track.items())) for system, of_track in scores().items()}
    assert summarize(turned, GENRES) == results()


def test_a_metric_that_a_track_lacks_is_a_mean_over_the_others() -> None:
    drawn = scores()
    for of_track in drawn.values():
        del of_track["000000"]["lsd_octave_2"]
    found = summarize(drawn, GENRES)["systems"]["model"]["lsd_octave_2"]["mean"]
    others = [values["lsd_octave_2"] for track, values in drawn["model"].items() if track != "000000"]
    assert found == float(f"{np.mean(others):.5g}")


def test_the_paired_test_compares_track_by_track() -> None:
    found = results()["paired"]
    assert found["against"] == "model"
    assert list(found["systems"]) == [name for name in SYSTEMS if name != "model"]
    drawn = scores()
    differences = [drawn["input"][track]["snr"] - drawn["model"][track]["snr"] for track in GENRES]
    assert found["systems"]["input"]["snr"]["mean"] == float(f"{np.mean(differences):.5g}")
    assert set(found["systems"]["input"]) == set(TESTED)


def test_a_system_that_is_always_a_little_worse_differs_where_the_intervals_overlap() -> None:
    drawn = scores()
    drawn["input"] = {
        track: values | {"snr": values["snr"] - 0.1 - 0.001 * int(track)}
        for track, values in drawn["model"].items()
    }
    found = summarize(drawn, GENRES)
    assert found["systems"]["input"]["snr"]["high"] > found["systems"]["model"]["snr"]["low"]
    assert found["paired"]["systems"]["input"]["snr"]["p"] < 0.01


def test_without_the_reference_there_is_no_paired_test() -> None:
    assert summarize(scores(), GENRES, against="unet")["paired"] == {"against": "unet", "systems": {}}


def test_the_csv_has_a_row_per_cutoff_system_and_track(tmp_path: Path) -> None:
    drawn = scores()
    del drawn["input"]["000003"]["lsd_octave_2"]
    other = scores()
    write_csv({4800.0: drawn, 8000.0: other}, GENRES, tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(SYSTEMS) * len(GENRES)
    first, second = (row for row in rows if (row["system"], row["track"]) == ("input", "000003"))
    assert (first["genre"], first["cutoff"], first["lsd_octave_2"]) == ("Rock", "4800", "")
    assert float(first["snr"]) == pytest.approx(drawn["input"]["000003"]["snr"], rel=1e-4)
    assert second["cutoff"] == "8000"
    assert float(second["lsd_octave_2"]) == pytest.approx(other["input"]["000003"]["lsd_octave_2"], rel=1e-4)


def test_one_track_has_a_mean_and_no_interval() -> None:
    one = {system: {"000001": of_track["000001"]} for system, of_track in scores().items()}
    found = summarize(one, GENRES)
    value = found["systems"]["model"]["snr"]
    assert value["mean"] == float(f"{scores()['model']['000001']['snr']:.5g}")
    assert value["low"] is value["high"] is None
    assert found["paired"]["systems"]["input"]["snr"]["low"] is None
    assert found["paired"]["systems"]["input"]["snr"]["p"] == 1


def test_a_metric_that_one_track_alone_has_has_no_interval() -> None:
    drawn = scores()["model"]
    for track, values in drawn.items():
        if track != "000001":
            del values["lsd_octave_2"]
    found = summarize({"model": drawn}, GENRES)["systems"]["model"]
    assert found["lsd_octave_2"]["low"] is None
    assert found["lsd"]["low"] < found["lsd"]["mean"] < found["lsd"]["high"]
