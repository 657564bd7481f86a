"""Decode every selected track once and write pairs of original and degraded samples: data/pairs/.

With ``OVERTONE_SHARDS`` the samples go to that object store or folder, and only the tables to data/pairs/.
"""

import os
from pathlib import Path

import pandas as pd

from overtone.core import params
from overtone.core.storage import locate
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.preparation.write_pairs import write_pairs
from stages import run

SOURCE, FOLDER = Path("data/fma"), Path("data/pairs")


def main() -> None:
    """Run the stage."""
    settings = params.read("degrade", DegradeSettings)
    subset = pd.read_csv("data/subset.csv", index_col="track_id", usecols=["track_id", "path"])
    paths = zip(subset.index.tolist(), subset["path"], strict=True)
    tracks = [(track_id, locate(SOURCE, path)) for track_id, path in paths]
    shards = os.environ.get("OVERTONE_SHARDS")
    store = str(locate(Path(), shards)) if shards else None
    written = write_pairs(tracks, settings, FOLDER, store)
    hours = written.frames / settings.rate / 3600
    where = f" at {store}" if store else ""
    print(
        f"{written.pairs} pairs, {hours:.2f} h, in {written.shards} shards{where}; "
        f"{written.left_out} tracks left out"
    )


if __name__ == "__main__":
    run(main)
