"""Draw the tracks to work with, balanced over genres, into data/subset.csv."""

from pathlib import Path

from overtone.core import params, tables
from overtone.data import catalog
from stages import run


def main() -> None:
    """Write data/subset.csv."""
    settings = params.read("select", catalog.SelectSettings)
    tracks = catalog.read_catalog(Path("data/fma"))
    subset = catalog.select_subset(tracks, settings)
    tables.write_table(subset, Path("data/subset.csv"))
    genres = ", ".join(f"{genre} {count}" for genre, count in subset["genre"].value_counts().items())
    print(f"{len(subset)} of {len(tracks)} tracks: {genres}")
    if len(subset) < len(tracks) and catalog.is_own_music(tracks):
        print(
            f"note: select.tracks is {settings.tracks} and download.folder holds {len(tracks)}; "
            "select.tracks=null uses all of them"
        )


if __name__ == "__main__":
    run(main)
