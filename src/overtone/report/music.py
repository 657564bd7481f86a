"""Read the tracks of a run: titles and artists, and their division into splits."""

import csv
from collections.abc import Collection
from pathlib import Path

import pandas as pd

SPLITS = ("training", "validation", "test")


class Music:
    """The tracks of a run.

    Attributes:
        splits: one row per split: split, its number, tracks, artists, segments, hours.
        genres: genre -> tracks in each split, in the order of `splits`.
        left_out: the tracks without segments, each with the reason.
        chunks: the track of each test chunk, in the order of evaluate, which numbers its examples by it.
    """

    def __init__(self, folder: Path) -> None:
        words = {"artist": str, "genre": str, "title": str, "license": str}
        self._subset = pd.read_csv(
            folder / "data/subset.csv", index_col="track_id", dtype=words, keep_default_na=False
        )
        index = pd.read_csv(folder / "data/pairs/index.csv", index_col="pair")
        segments = pd.read_csv(folder / "data/segments.csv")
        segments["hours"] = segments["length"] / segments["pair"].map(index["rate"]) / 3600
        split = pd.read_csv(folder / "data/split.csv", index_col="track_id")["split"]
        of_tracks = self._subset.join(split)
        self.splits = []
        for number, name in enumerate(SPLITS):
            own, cut = of_tracks[of_tracks["split"] == name], segments[segments["split"] == name]
            self.splits.append(
                {
                    "split": name,
                    "number": number,
                    "tracks": len(own),
                    "artists": own["artist"].nunique(),
                    "segments": len(cut),
                    "hours": float(cut["hours"].sum()),
                }
            )
        counts = pd.crosstab(of_tracks["genre"], of_tracks["split"])
        self.genres = {
            str(genre): [int(row.get(name, 0)) for name in SPLITS] for genre, row in counts.iterrows()
        }
        self.left_out = pd.read_csv(folder / "data/left_out.csv", dtype=str).to_dict("records")
        test = index["track_id"].isin(segments.loc[segments["split"] == "test", "track_id"])
        chunks = index.loc[test, ["track_id", "part"]].drop_duplicates().sort_values(["track_id", "part"])
        self.chunks = [int(track) for track in chunks["track_id"]]
        self._artists = _artists(folder / "data/fma/tracks.csv", {str(track) for track in self.chunks})

    def name(self, track: int) -> dict[str, str]:
        """Look up number, title, artist, genre and licence of a track."""
        row = self._subset.loc[track]
        return {
            "track": f"{track:06d}",
            "title": row["title"] or "untitled",
            "artist": self._artists.get(str(track), "") or "unknown artist",
            "genre": row["genre"] or "none",
            "license": row["license"] or "licence not stated",
        }


def _artists(path: Path, tracks: Collection[str]) -> dict[str, str]:
    """Map these tracks to the names of their artists, from FMA's tracks.csv (two rows of headings)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        column = list(zip(next(rows), next(rows), strict=True)).index(("artist", "name"))
        return {row[0]: row[column] for row in rows if row[0] in tracks}
