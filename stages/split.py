"""Share the subset out between training, validation and test, into data/split.csv."""

from pathlib import Path

from overtone.core import params, tables
from overtone.data import catalog
from stages import run


def main() -> None:
    """Write data/split.csv."""
    settings = params.read("split", catalog.SplitSettings)
    subset = tables.read_table(Path("data/subset.csv"))
    split = catalog.split_tracks(subset, settings)
    tables.write_table(split, Path("data/split.csv"))
    for name, tracks in subset.groupby(split["split"]):
        genres = ", ".join(f"{genre} {count}" for genre, count in tracks["genre"].value_counts().items())
        print(f"{name}: {len(tracks)} tracks by {tracks['artist'].nunique()} artists: {genres}")


if __name__ == "__main__":
    run(main)
