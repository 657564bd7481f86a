"""Short tracks written as pairs, which the tests of shards and of segments share."""

import numpy as np
import pandas as pd
import soundfile

from overtone.data.pairs.format import INDEX
from overtone.data.preparation.shard_writer import write_settings, write_shard

RATE = 44100


def music(rng, seconds, channels=1, level=0.3):
    return (level * rng.uniform(-1, 1, (int(seconds * RATE), channels))).astype(np.float32)


def write(folder, tracks, settings):
    """Write {track_id: (time, channels)} through files into one shard; returns its rows left out."""
    calls = []
    for track_id, samples in tracks.items():
        path = folder / f"{track_id}.wav"
        if isinstance(samples, bytes):
            path.write_bytes(samples)
        else:
            soundfile.write(path, samples, RATE, subtype="FLOAT")
        calls.append((track_id, path))
    rows, left_out, *_ = write_shard(0, calls, folder, settings)
    write_settings(folder, settings)
    pd.DataFrame(rows, columns=INDEX[1:]).to_csv(folder / "index.csv", index_label="pair")
    return left_out
