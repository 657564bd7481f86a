"""A running server of the page, with a network so small that a file takes no time."""

import http.client
import json
import secrets
import threading
import time

import numpy as np
import pytest
import soundfile
import soxr
import uvicorn

from overtone.app.server import App
from overtone.app.worker import Worker
from overtone.models.registry import Spectral, SpectralSettings
from overtone.web import serving

RATE = 44100
LIMIT = 2_000_000


@pytest.fixture(scope="session")
def net():
    import torch

    torch.manual_seed(0)
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()


@pytest.fixture(scope="session")
def song(tmp_path_factory):
    """Two seconds of stereo noise up to 6 kHz, as a WAV with a title."""
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", 2)


def write_song(path, seconds, rate=RATE):
    noise = np.random.default_rng(3).normal(0, 0.1, (12000 * seconds, 2))
    low = soxr.resample(noise, 12000, rate)
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_24") as file:
        file.title = "A song"
        file.write(low)
    return path


class Client:
    """Requests to a running server, each by a connection of its own."""

    def __init__(self, app, token=None, host="127.0.0.1"):
        self.app, self.tab = app, secrets.token_hex(16)
        self._bound = serving.listen_on("127.0.0.1", 0)
        self.port = self._bound.getsockname()[1]
        config = uvicorn.Config(app.asgi(host, token), log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._bound]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def close(self):
        self._server.should_exit = True
        self._thread.join()
        self._bound.close()

    def ask(self, method, path, body=None, kind="application/json", **headers):
        """Returns (status, body, headers)."""
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = ({"Content-Type": kind} if body is not None else {}) | headers
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.headers

    def upload(self, content, name="song.wav", tab=None):
        return self.ask(
            "POST", f"/tabs/{tab or self.tab}/files?name={name}", content, "application/octet-stream"
        )

    def files(self, tab=None):
        return json.loads(self.ask("GET", f"/tabs/{tab or self.tab}")[1])["files"]

    def add(self, path, name=None):
        """Upload a file and wait for what becomes of it; returns its address and its state."""
        status, content, _ = self.upload(path.read_bytes(), name or path.name)
        assert status == 201, content
        key = json.loads(content)["key"]
        return f"/tabs/{self.tab}/files/{key}", self.wait(key)

    def wait(self, key, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            (state,) = (file for file in self.files() if file["key"] == key)
            if state["state"] not in ("waiting", "running"):
                return state
            time.sleep(0.02)
        raise AssertionError(f"still {state}")


@pytest.fixture
def worker(net):
    made = Worker(net)
    yield made
    made.close()


@pytest.fixture
def client(tmp_path, worker):
    (tmp_path / "work").mkdir()
    made = Client(App(tmp_path / "work", LIMIT, worker))
    yield made
    made.app.library.stop_all()
    made.close()
