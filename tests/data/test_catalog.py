import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.core.tables import read_table, write_table
from overtone.data.catalog import (
    SelectSettings,
    SplitSettings,
    read_catalog,
    select_subset,
    share,
    split_tracks,
)


def write_fma(folder, subset, rows):
    """A tracks.csv as FMA's, from rows of (id, set.subset, artist.id, artist.name, genre_top)."""
    table = pd.DataFrame(
        [(number, name, "training", kept, genre, "CC BY", "1.50") for _, kept, number, name, genre in rows],
        index=pd.Index([row[0] for row in rows], name="track_id"),
        columns=pd.MultiIndex.from_tuples(
            [("artist", "id"), ("artist", "name"), ("set", "split"), ("set", "subset")]
            + [("track", key) for key in ("genre_top", "license", "title")]
        ),
    )
    table.to_csv(folder / "tracks.csv")
    (folder / "source.json").write_text(json.dumps({"subset": subset}))


def tracks(genres, artists=None, fma_split="training"):
    """A catalogue with a track for each of the genres."""
    count = len(genres)
    index = pd.RangeIndex(1, count + 1, name="track_id")
    artists = range(count) if artists is None else artists
    columns = {"genre": genres, "artist": [str(name) for name in artists], "fma_split": fma_split}
    return pd.DataFrame(columns, index=index)


MIXED = tracks(["rock"] * 60 + ["pop"] * 30 + ["folk"] * 10, np.repeat(np.arange(50), 2))
SPLIT = {"by": "artist", "validation": 0.1, "test": 0.1, "seed": 1}


def split(catalog, **changed):
    return split_tracks(catalog, params.build("split", SplitSettings, SPLIT | changed))["split"]


# ------------------------------------------------------------------ the catalogue


@pytest.mark.parametrize(
    ("subset", "ids"), [("small", [2]), ("medium", [2, 3]), ("full", [2, 3, 4, 5]), ("mini", [6])]
)
def test_subset_holds_those_before_it(tmp_path, subset, ids):
    names = {5: "full", 2: "small", 6: "mini", 4: "large", 3: "medium"}
    write_fma(tmp_path, subset, [(key, name, 1, "a", "Rock") for key, name in names.items()])
    assert read_catalog(tmp_path).index.tolist() == ids


def test_columns_that_are_not_used_take_no_memory(tmp_path):
    write_fma(tmp_path, "mini", [(number, "mini", 7, "a", "Folk") for number in range(500)])
    lines = (tmp_path / "tracks.csv").read_text().splitlines()
    more = [",album", ",information", ",", *(f",{row}" + 10_000 * "x" for row in range(500))]
    (tmp_path / "tracks.csv").write_text("\n".join(a + b for a, b in zip(lines, more, strict=True)))
    read_catalog(tmp_path)  # what it loads when it is first called is not meant
    tracemalloc.start()
    catalog = read_catalog(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(catalog) == 500
    assert peak < 2_500_000, "half of that column"


def test_clips_lie_where_fma_puts_them(tmp_path):
    write_fma(tmp_path, "mini", [(1234, "mini", 7, "NA", ""), (155320, "mini", "", "", "Folk")])
    catalog = read_catalog(tmp_path)
    assert catalog["path"].tolist() == ["001/001234.mp3", "155/155320.mp3"]
    assert catalog["artist"].tolist() == ["7", "unknown"]
    assert catalog["genre"].tolist() == ["unknown", "Folk"]


def test_artist_without_a_number_goes_by_the_name(tmp_path):
    write_fma(tmp_path, "mini", [(1, "mini", "", "NA", "")])  # which pandas would take for a gap
    assert read_catalog(tmp_path)["artist"].tolist() == ["NA"]


def test_missing_music_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(OvertoneError, match=r"source.json is missing; dvc repro download_fma writes it"):
        read_catalog(tmp_path)


def test_table_of_another_shape_is_refused(tmp_path):
    (tmp_path / "source.json").write_text('{"subset": "mini"}')
    (tmp_path / "tracks.csv").write_text(",a\n,b\ntrack_id,\n1,2\n")
    with pytest.raises(OvertoneError, match=r"tracks.csv lacks .*; it is not FMA's"):
        read_catalog(tmp_path)


def test_tables_come_back_as_written(tmp_path):
    write_fma(tmp_path, "mini", [(1, "mini", "007", "NA", "null"), (2, "mini", "1.0", "b", "")])
    catalog = read_catalog(tmp_path)
    write_table(catalog, tmp_path / "deeper/subset.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "deeper/subset.csv"), catalog)
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["subset.csv"]


def test_missing_table_is_one_clear_line(tmp_path):
    with pytest.raises(OvertoneError, match=r"subset.csv is missing; run dvc repro"):
        read_table(tmp_path / "subset.csv")


# ------------------------------------------------------------------ the subset


@pytest.mark.parametrize(
    ("total", "quotas"),
    [
        (3, {"c": 1, "b": 1, "a": 1}),
        (12, {"c": 2, "b": 5, "a": 5}),
        (60, {"c": 2, "b": 9, "a": 49}),
        (61, {"c": 2, "b": 9, "a": 50}),
        (1, {"a": 1, "b": 0, "c": 0}),
    ],
)
def test_small_genre_gives_all_and_the_rest_is_shared(total, quotas):
    assert share({"a": 50, "b": 9, "c": 2}, total) == quotas


def test_subset_is_balanced_over_genres():
    subset = select_subset(MIXED, SelectSettings(42, 1))
    assert subset["genre"].value_counts().to_dict() == {"rock": 16, "pop": 16, "folk": 10}


def test_subset_does_not_depend_on_the_order_of_rows():
    settings = SelectSettings(20, 1)
    shuffled = MIXED.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(select_subset(shuffled, settings), select_subset(MIXED, settings))
    assert select_subset(shuffled, settings).index.is_monotonic_increasing


def test_another_seed_draws_others():
    draws = [select_subset(MIXED, SelectSettings(20, seed)).index.tolist() for seed in (1, 2)]
    assert draws[0] != draws[1]


def test_larger_draw_holds_the_smaller():
    small, large = (set(select_subset(MIXED, SelectSettings(count, 1)).index) for count in (20, 50))
    assert small < large


def test_null_takes_all():
    assert len(select_subset(MIXED, SelectSettings(None, 1))) == 100


def test_more_tracks_than_there_are_is_refused():
    message = "select.tracks is 101; there are 100: ask for fewer, or null for all"
    with pytest.raises(OvertoneError, match=message):
        select_subset(MIXED, SelectSettings(101, 1))


# ------------------------------------------------------------------ the split


def test_no_artist_is_in_two_splits():
    assert split(MIXED).groupby(MIXED["artist"]).nunique().max() == 1


@pytest.mark.parametrize("by", ["artist", "track"])
def test_sizes_and_genres_are_as_wanted(by):
    counts = pd.crosstab(MIXED["genre"], split(MIXED, by=by))
    wanted = MIXED["genre"].value_counts()
    for name, fraction in (("training", 0.8), ("validation", 0.1), ("test", 0.1)):
        # An artist has two tracks, so a genre may miss its number by one of them, and by rounding.
        assert (counts[name] - wanted * fraction).abs().max() <= 2
        assert abs(counts[name].sum() - 100 * fraction) <= 2


def test_artist_of_half_the_tracks_still_leaves_the_sizes_near():
    artists = [0] * 50 + list(range(1, 51))
    counts = split(tracks(["rock"] * 100, artists)).value_counts()
    assert (counts - pd.Series({"training": 80, "validation": 10, "test": 10})).abs().max() <= 1


@pytest.mark.parametrize("by", ["artist", "track"])
def test_sizes_are_as_wanted_where_no_genre_has_two_tracks(by):
    counts = split(tracks([f"genre {n}" for n in range(100)], MIXED["artist"]), by=by).value_counts()
    assert counts.to_dict() == {"training": 80, "validation": 10, "test": 10}


@pytest.mark.parametrize("by", ["artist", "track"])
def test_split_depends_on_the_seed_alone(by):
    shuffled = MIXED.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(split(MIXED, by=by), split(shuffled, by=by))
    assert (split(MIXED, by=by) != split(MIXED, by=by, seed=2)).any()


@pytest.mark.parametrize("by", ["artist", "track"])
@pytest.mark.parametrize("genres", ["abc", "aaaaaaaaab", "aaaaaaaaaaaaaaaaaaaabcdd", "aabbccdd"])
def test_rare_genres_and_few_tracks_still_split(by, genres):
    assert set(split(tracks(list(genres)), by=by)) == {"training", "validation", "test"}


@pytest.mark.parametrize("by", ["artist", "track"])
@pytest.mark.parametrize(
    ("count", "test", "validation"),
    [(3, 0.8, 0.1), (3, 0.1, 0.8), (4, 0.4, 0.4), (5, 0.6, 0.3), (5, 0.9, 0.05), (5, 0.05, 0.9)],
)
def test_shares_of_few_tracks_leave_every_split_one(by, count, test, validation):
    made = split(tracks(["a"] * count), by=by, test=test, validation=validation)
    assert set(made) == {"training", "validation", "test"}


def test_datasets_own_split_is_kept():
    own = ["training", "test", "validation", "training"]
    assert split(tracks(["a"] * 4, fma_split=own), by="fma").tolist() == own


def test_music_without_splits_of_its_own_is_refused():
    with pytest.raises(OvertoneError, match=r"split.by is fma, and this music has no splits of its own; use"):
        split(tracks(["a"] * 4, fma_split=""), by="fma")


def test_empty_split_of_the_dataset_is_refused():
    with pytest.raises(OvertoneError, match=r"no track is in its validation split; raise select.tracks"):
        split(tracks(["a"] * 2, fma_split=["training", "test"]), by="fma")


@pytest.mark.parametrize(("by", "what"), [("artist", "2 artists"), ("track", "2 tracks")])
def test_too_few_for_three_splits_is_refused(by, what):
    message = f"split.by is {by} and there are {what}; three splits need 3 or more"
    with pytest.raises(OvertoneError, match=message):
        split(tracks(["a"] * 2), by=by)


# ------------------------------------------------------------------ the settings


@pytest.mark.parametrize(
    ("group", "settings", "values", "message"),
    [
        (
            "select",
            SelectSettings,
            {"tracks": 0, "seed": 1},
            "select.tracks is 0; it is a whole number above 0",
        ),
        (
            "select",
            SelectSettings,
            {"tracks": 2, "seed": -1},
            "select.seed is -1; it is a whole number, 0 or",
        ),
        (
            "split",
            SplitSettings,
            SPLIT | {"by": "genre"},
            "split.by is 'genre'; it is one of artist, track, fma",
        ),
        ("split", SplitSettings, SPLIT | {"test": 0}, "split.test is 0.0; it is a fraction, above 0"),
        ("split", SplitSettings, SPLIT | {"validation": 1.5}, "split.validation is 1.5; it is a fraction"),
        (
            "split",
            SplitSettings,
            SPLIT | {"validation": 0.9},
            r"split.validation \+ split.test is 1.0; it is below",
        ),
        ("split", SplitSettings, SPLIT | {"seed": -1}, "split.seed is -1; it is a whole number from 0"),
    ],
)
def test_bad_params_say_what_is_allowed(group, settings, values, message):
    with pytest.raises(OvertoneError, match=message):
        params.build(group, settings, values)
