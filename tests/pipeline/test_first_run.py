"""The first `dvc repro`: all stages once, and all that it leaves."""

import re

import numpy as np
import pytest

from tests.helpers.workspace import ALL, SYSTEMS, stages_run


def test_the_whole_chain_runs_once_in_order(first):
    assert stages_run(first[1]) == ALL


def test_the_first_run_ends_with_the_table_and_where_the_plots_lie(first):
    end = first[1][first[1].index("Mean over") :]
    for row in SYSTEMS:
        assert re.search(rf"^\W*{row}\b.*\d", end, re.MULTILINE), row
    assert "plots/" in end


def test_all_that_the_readme_promises_is_there(first):
    folder = first[0].folder
    results = first[0].json("metrics/test.json")
    assert list(results["systems"]) == SYSTEMS
    for values in results["systems"].values():
        for interval in values.values():
            assert np.isfinite(interval["mean"])
            assert interval["low"] is interval["high"] is None, "one test track has no interval"
    assert "network alone" in results["remarks"]
    assert first[0].json("metrics/train.json")["epochs"] == 2
    assert len(first[0].rows("plots/loss.csv")) == 2
    for name in ("loss.png", "spectrum.png", "distance.png", "spectrograms/1.png"):
        assert (folder / "plots" / name).read_bytes().startswith(b"\x89PNG")
    page = (folder / "plots/report.html").read_text()
    assert page.count("<audio") == 3
    examples = {path.name for path in (folder / "data/examples").iterdir()}
    assert examples == {"1_degraded.flac", "1_restored.flac", "1_original.flac"}


def test_a_track_that_does_not_decode_is_listed_with_its_reason(first):
    rows = first[0].rows("data/left_out.csv")
    assert len(rows) == 1
    assert "does not decode" in rows[0]["reason"]
    assert first[0].json("metrics/segments.json")["tracks_left_out"] == 1


def test_a_genre_or_title_that_pandas_would_take_for_a_gap_stays_a_word(first):
    assert {row["genre"] for row in first[0].rows("plots/scores.csv")} == {"None"}
    assert list(first[0].json("metrics/test.json")["genres"]) == ["None"]


def test_silence_and_input_score_as_theory_says(first):
    systems = first[0].json("metrics/test.json")["systems"]
    assert systems["silence"]["snr"]["mean"] == pytest.approx(0, abs=1e-6)
    assert systems["input"]["snr"]["mean"] > 0
    # Noise fill changes only what lies above the cutoff.
    assert systems["noise fill"]["lsd_low"]["mean"] == pytest.approx(
        systems["input"]["lsd_low"]["mean"], rel=0.02
    )


def test_the_model_keeps_the_inputs_low_band_and_the_network_alone_does_not(first):
    systems = first[0].json("metrics/test.json")["systems"]
    low = {name: systems[name]["lsd_low"]["mean"] for name in ("input", "model", "network alone")}
    assert low["model"] == pytest.approx(low["input"], rel=0.02)
    assert low["network alone"] > 2 * low["input"]
