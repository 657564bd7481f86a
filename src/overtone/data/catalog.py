"""Read FMA's tracks.csv, draw a subset of its tracks, and split the subset in three."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.core.tables import read_table

SPLITS = ("training", "validation", "test")
_COLUMNS = (
    ("artist", "id"),
    ("artist", "name"),
    ("set", "split"),
    ("set", "subset"),
    ("track", "genre_top"),
    ("track", "license"),
    ("track", "title"),
)
_NESTED = ("small", "medium", "large", "full")  # each of FMA's subsets contains those before it


@dataclass(frozen=True)
class SelectSettings:
    """The group ``select`` of params.yaml.

    Attributes:
        tracks: how many tracks to draw, balanced over genres; None for all.
        seed: of the draw.
    """

    tracks: int | None
    seed: int

    def __post_init__(self) -> None:
        several = self.tracks is None or self.tracks > 0
        params.check(several, "select.tracks", self.tracks, "a whole number above 0, or null for all")
        params.check(self.seed >= 0, "select.seed", self.seed, "a whole number, 0 or above")


@dataclass(frozen=True)
class SplitSettings:
    """The group ``split`` of params.yaml: units kept together, fractions held out, and the draw's seed.

    Args:
        by: ``artist`` (no artist in two splits), ``track`` (each track for itself) or ``fma`` (the
            dataset's own splits, whatever the fractions).
        validation: fraction of the tracks.
        test: fraction of the tracks; the rest is for training.
        seed: of the draw.
    """

    by: str
    validation: float
    test: float
    seed: int

    def __post_init__(self) -> None:
        params.check_choice("split.by", self.by, ("artist", "track", "fma"))
        for key, value in (("validation", self.validation), ("test", self.test)):
            params.check(0 < value < 1, f"split.{key}", value, "a fraction, above 0 and below 1")
        held_out = self.validation + self.test
        params.check(held_out < 1, "split.validation + split.test", held_out, "below 1: training is the rest")
        # scikit-learn's generator takes 32 bits.
        params.check(0 <= self.seed < 2**32, "split.seed", self.seed, "a whole number from 0 to 4294967295")


def read_catalog(folder: Path) -> pd.DataFrame:
    """Read the tracks of a folder that `overtone.data.sources.provide.provide` filled.

    Returns:
        A table by ``track_id``, all columns text: ``path`` (relative to the folder, or for clips in an
        archive and own music as `overtone.core.storage.locate` takes it), ``artist`` (FMA's number of the
        artist), ``genre``, ``title``, ``license``, and ``fma_split`` (empty for music of one's own).

    Raises:
        OvertoneError: a file is missing, or tracks.csv has not the columns of FMA's.
    """
    try:
        subset = json.loads((folder / "source.json").read_text())["subset"]
        tracks = _read_columns(folder / "tracks.csv")
        tracks = tracks[tracks["set", "subset"].isin(_included(subset))].sort_index()
        names = tracks.index.map("{:06d}".format)
        path = pd.Series([f"{name[:3]}/{name}.mp3" for name in names], tracks.index)
        if (folder / "files.csv").exists():
            path = read_table(folder / "files.csv")["path"].reindex(tracks.index).fillna(path)
        artist = tracks["artist", "id"].where(tracks["artist", "id"] != "", tracks["artist", "name"])
        return pd.DataFrame(
            {
                "path": path,
                # Tracks without a name count as one artist: any two of them might be by the same.
                "artist": artist.replace("", "unknown"),
                "genre": tracks["track", "genre_top"].replace("", "unknown"),
                "title": tracks["track", "title"],
                "license": tracks["track", "license"],
                "fma_split": tracks["set", "split"],
            }
        )
    except FileNotFoundError as error:
        raise OvertoneError(f"{error.filename} is missing; dvc repro download_fma writes it") from None
    except KeyError as error:
        raise OvertoneError(f"{folder / 'tracks.csv'} lacks {error}; it is not FMA's") from None


def is_own_music(catalog: pd.DataFrame) -> bool:
    """Return whether the tracks come from a folder of one's own: FMA's all have a split of FMA's."""
    return bool((catalog["fma_split"] == "").all())


def _read_columns(path: Path) -> pd.DataFrame:
    """Read the columns of tracks.csv that are used; all of them would take ten times the memory."""
    heads = pd.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False)
    numbers = {head: number for number, head in enumerate(zip(*heads.to_numpy(), strict=True))}
    used = [numbers[column] for column in _COLUMNS]
    # All as text: an artist may be called "NA", and a number with gaps would become 7.0. The third line
    # names the index and nothing else.
    tracks = pd.read_csv(
        path, header=None, skiprows=3, usecols=[0, *used], index_col=0, dtype=str, keep_default_na=False
    )
    tracks = tracks[used].set_axis(pd.MultiIndex.from_tuples(_COLUMNS), axis=1)
    tracks.index = pd.Index(tracks.index.astype(int), name="track_id")
    return tracks


def _included(subset: str) -> tuple[str, ...]:
    """Return the values of ``set.subset`` that belong to a subset."""
    return _NESTED[: _NESTED.index(subset) + 1] if subset in _NESTED else (subset,)


def select_subset(catalog: pd.DataFrame, settings: SelectSettings) -> pd.DataFrame:
    """Draw tracks, as many of each genre as of any other.

    Of a genre with fewer tracks than its share all are drawn, and the others share the rest. With the same
    seed, a larger draw contains the smaller one. Rows are sorted by ``track_id``, whatever the order of the
    input.

    Raises:
        OvertoneError: more tracks are asked for than there are.
    """
    catalog = catalog.sort_index()
    if settings.tracks is None:
        return catalog
    if settings.tracks > len(catalog):
        raise OvertoneError(
            f"select.tracks is {settings.tracks}; there are {len(catalog)}: ask for fewer, or null for all"
        )
    genres = catalog.groupby("genre").groups
    quotas = share({str(genre): len(tracks) for genre, tracks in genres.items()}, settings.tracks)
    draw = np.random.default_rng(settings.seed)
    # Each genre is shuffled completely, whatever its quota, so that draws nest.
    chosen = [draw.permutation(tracks)[: quotas[str(genre)]] for genre, tracks in genres.items()]
    return catalog.loc[np.sort(np.concatenate(chosen))]


def share(counts: dict[str, int], total: int) -> dict[str, int]:
    """Distribute a total evenly, none above its count: water filling.

    >>> share({"rock": 50, "pop": 50, "folk": 2}, 12)
    {'folk': 2, 'pop': 5, 'rock': 5}
    """
    quotas = {}
    # The smallest go first: what exceeds their count is distributed over those after them.
    for done, (name, count) in enumerate(sorted(counts.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(count, total // (len(counts) - done))
        total -= quotas[name]
    return quotas


def split_tracks(subset: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Assign each track to a split: one column ``split``, in the order of ``track_id``.

    Raises:
        OvertoneError: there are too few tracks or artists for three splits, or no splits by FMA.
    """
    subset = subset.sort_index()
    if settings.by == "fma":
        split = _own_splits(subset)
    else:
        kind = {"artist": "artists", "track": "tracks"}[settings.by]
        units = subset["artist"].nunique() if settings.by == "artist" else len(subset)
        if units < len(SPLITS):
            hint = ", or set split.by to track" if settings.by == "artist" else ""
            raise OvertoneError(
                f"split.by is {settings.by} and there are {units} {kind}; three splits need 3 or more: "
                f"take more music (select.tracks){hint}"
            )
        hold_out = _hold_out_artists if settings.by == "artist" else _hold_out_tracks
        split = pd.Series("training", subset.index)
        # Of few tracks the shares, rounded, might leave none for the others.
        wanted = min(settings.test * len(subset), len(subset) - 2)
        split[hold_out(subset, wanted, settings.seed)] = "test"
        rest = subset[split == "training"]
        wanted = min(settings.validation * len(subset), len(rest) - 1)
        split[hold_out(rest, wanted, settings.seed)] = "validation"
    return pd.DataFrame({"split": split})


def _own_splits(subset: pd.DataFrame) -> pd.Series:
    """Return the dataset's own splits."""
    split = subset["fma_split"]
    if not split.isin(SPLITS).all():
        raise OvertoneError("split.by is fma, and this music has no splits of its own; use artist or track")
    for name in SPLITS:
        if name not in split.array:
            raise OvertoneError(f"split.by is fma, and no track is in its {name} split; raise select.tracks")
    return split


def _hold_out_tracks(tracks: pd.DataFrame, wanted: float, seed: int) -> pd.Index:
    """Draw so many tracks, at least one, each genre in its proportion where its size allows."""
    count = max(1, round(wanted))
    sizes = tracks["genre"].map(tracks["genre"].value_counts())
    # scikit-learn needs two of each kind: single tracks join the most common genre.
    kinds = tracks["genre"].where(sizes > 1, tracks["genre"].mode()[0])
    possible = kinds.nunique() <= min(count, len(tracks) - count) and kinds.value_counts().min() > 1
    # Imported here: it takes 0.7 s, and every stage reads these settings.
    from sklearn.model_selection import train_test_split

    parts: list[pd.DataFrame] = train_test_split(
        tracks, test_size=count, random_state=seed, stratify=kinds if possible else None
    )
    return parts[1].index


def _hold_out_artists(tracks: pd.DataFrame, wanted: float, seed: int) -> pd.Index:
    """Draw artists whose tracks are near the wanted number, and near it in each genre.

    Of 200 draws it keeps the one with the least ``|n - w| + sum over genres g of |n_g - w_g|``, where
    n counts the tracks drawn and w those wanted; w_g is w in proportion to the genre's size. Artists
    differ in size, so the draws take half, once, one and a half times and twice the proportional
    number of artists.
    """
    from sklearn.model_selection import GroupShuffleSplit

    genre, names = pd.factorize(tracks["genre"])
    artist, artists = pd.factorize(tracks["artist"])
    wanted_by_genre = np.bincount(genre, minlength=len(names)) * (wanted / len(tracks))
    best, least = np.empty(0, np.intp), np.inf
    for scale in (0.5, 1.0, 1.5, 2.0):
        # Training needs an artist too, and validation one when the test split is drawn first.
        count = int(np.clip(round(scale * wanted / len(tracks) * len(artists)), 1, max(1, len(artists) - 2)))
        draws = GroupShuffleSplit(n_splits=50, test_size=count, random_state=seed)
        for _, drawn in draws.split(artist, groups=artist):
            counts = np.bincount(genre[drawn], minlength=len(names))
            distance = abs(len(drawn) - wanted) + np.abs(counts - wanted_by_genre).sum()
            if distance < least:
                best, least = drawn, distance
    return tracks.index[best]
