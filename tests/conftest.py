"""Small real audio and small settings that several test files need."""

import dataclasses
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch

from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import SegmentSettings, list_segments
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.pairs.format import INDEX
from overtone.data.preparation.shard_writer import write_shard
from overtone.training.augment import KINDS, AugmentSettings
from overtone.training.discriminators import AdversarialSettings
from overtone.training.settings import TrainSettings

# Tensors are small here: a second thread costs more than it gives, most of all on a busy machine.
torch.set_num_threads(1)

RATE = 44100


def pytest_collection_modifyitems(items):
    """Spread the longest tests, those that run the pipeline, over the processes of the session.

    Every process begins with an even, contiguous part of the list. Long tests early leave quick ones to be
    taken over at the end, so that no process ends alone.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if "first" in getattr(item, "fixturenames", ())]
    quick = [item for item in items if "first" not in getattr(item, "fixturenames", ())]
    spread = []
    for process in range(count):
        own = quick[len(quick) * process // count : len(quick) * (process + 1) // count]
        # Later in all but one: at the start they would wait for the one finished run that all of them need.
        before = len(own) // 3 if process else 0
        spread += [*own[:before], *long[process::count], *own[before:]]
    items[:] = spread


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def degrade_settings():
    """The paper's degradation, as params.yaml has it; keywords replace values."""

    def make(**changes):
        values = {
            "rate": RATE,
            "channels": "mono",
            "low_rate": 16000,
            "interpolation": "sinc",
            "filter": "biquad",
            "cutoff": 0.6,
            "order": 2,
            "phase": "one_way",
            "ripple_db": 0.05,
            "stopband_db": 80.0,
            "tracks_per_shard": 2,
        }
        return DegradeSettings(**(values | changes))

    return make


@pytest.fixture
def train_settings():
    """Two quick epochs; keywords replace values."""
    whole = TrainSettings(
        loss={"l1": 1.0},
        lr=0.001,
        batch=4,
        micro_batch=4,
        epochs=2,
        schedule="plateau",
        plateau_factor=0.5,
        plateau_patience=5,
        stop_patience=10,
        precision="float32",
        seed=1,
        augment=AugmentSettings(
            filters=False,
            kinds=KINDS,
            lowest=3000.0,
            highest=16000.0,
            gain_db=0.0,
            speed=1.0,
            tilt_db=0.0,
            mix=0.0,
            coded=0.0,
            coded_whole=0.0,
        ),
        adversarial=AdversarialSettings(weight=0.0, feature_matching=1.0, lr=0.001, start=1),
    )
    return lambda **changes: dataclasses.replace(whole, **changes)


@pytest.fixture
def low(rng):
    """Two seconds of stereo noise up to 6 kHz, at 44.1 kHz."""
    return soxr.resample(rng.normal(0, 0.1, (24000, 2)), 12000, RATE).astype(np.float32).T


@pytest.fixture(scope="session")
def object_store():
    """An S3 server on loopback (moto's), and what reaches it: its variables and a client."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "no_proxy": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield SimpleNamespace(variables=variables, client=boto3.client("s3"))
    server.stop()


@pytest.fixture
def pairs(tmp_path, rng, degrade_settings, monkeypatch):
    """Pairs of noise: a stereo track of 1.5 s in two parts, and a mono one of 0.6 s, channels kept apart."""
    monkeypatch.setattr("overtone.data.preparation.shard_writer.PART_SECONDS", 1)
    tracks = []
    for track_id, channels, seconds in ((1, 2, 1.5), (2, 1, 0.6)):
        path = tmp_path / f"{track_id}.wav"
        soundfile.write(path, 0.3 * rng.uniform(-1, 1, (int(seconds * RATE), channels)), RATE)
        tracks.append((track_id, path))
    rows, *_ = write_shard(0, tracks, tmp_path, degrade_settings(channels="separate"))
    pd.DataFrame(rows, columns=INDEX[1:]).to_csv(tmp_path / "index.csv", index_label="pair")
    return Pairs(tmp_path)


@pytest.fixture
def segments(pairs):
    """Two segments of each channel of `pairs`."""
    return list_segments(pairs, SegmentSettings(8192, 8192, 0.0, 0.001, 2, "shared"))[0]
