"""List the segments to train on, with their split and peaks: data/segments.csv; no audio is copied."""

import json
from pathlib import Path

import pandas as pd

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import SegmentSettings, list_segments
from overtone.models.device import choose_device
from stages import run


def main() -> None:
    """Run the stage."""
    settings = params.read("segment", SegmentSettings)
    pairs = Pairs("data/pairs", choose_device())
    segments, without = list_segments(pairs, settings)
    split = pd.read_csv("data/split.csv", index_col="track_id")["split"]
    segments.insert(0, "split", segments["track_id"].map(split))
    left_out = pd.concat([pd.read_csv("data/pairs/left_out.csv"), without]).sort_values("track_id")
    left_out.to_csv("data/left_out.csv", index=False)
    counts = {name: int((segments["split"] == name).sum()) for name in ("training", "validation", "test")}
    empty = [name for name, count in counts.items() if not count]
    if empty:
        raise OvertoneError(
            f"no segment is left in the {' and '.join(empty)} split; data/left_out.csv says why, and "
            "split.validation and split.test say how many tracks they get"
        )
    segments.to_csv("data/segments.csv", index=False)
    Path("metrics").mkdir(exist_ok=True)
    summary = {
        "tracks": int(segments["track_id"].nunique()),
        "tracks_left_out": len(left_out),
        "segments": counts,
        "hours": round(float(segments["length"].sum() / pairs.rate / 3600), 4),
    }
    Path("metrics/segments.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(
        f"{len(segments)} segments of {settings.length} samples: {counts}; left out: {len(left_out)} tracks"
    )


if __name__ == "__main__":
    run(main)
