"""Run the page's server: socket, work folder, worker, and regular removal of closed tabs' files."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overtone.app.server import App
from overtone.app.work import content_size, open_work
from overtone.app.worker import Worker
from overtone.restoration.stream.load import open_model
from overtone.web import serving
from overtone.web.guard import LOOPBACK

EVERY = 30.0  # seconds between two looks for closed tabs


@dataclass(frozen=True)
class Settings:
    """The options of the server.

    Attributes:
        host: the address to bind to; beyond this machine, the addresses have a token.
        port: 0 is any free one.
        work: the base of the work folder.
        max_size: of an upload, in bytes.
        model: a folder that the pipeline's train stage wrote; by default the shipped one.
        device: of the network; by default the processor for the shipped one, else a GPU if there is one.
    """

    host: str
    port: int
    work: Path
    max_size: int
    model: str | None
    device: str | None


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; say its addresses, and each removal of files.

    Raises:
        OvertoneError: the model, the port or the work folder cannot be used.
    """
    net = open_model(settings.model, settings.device)
    bound = serving.listen_on(settings.host, settings.port)
    token = None if settings.host in LOOPBACK else secrets.token_urlsafe(16)
    with open_work(settings.work) as (folder, leftovers):
        for line in leftovers:
            say(line)
        worker = Worker(net)
        app = App(folder, settings.max_size, worker)
        ended = threading.Event()
        threading.Thread(target=_expire, args=(app, ended, say), daemon=True).start()
        try:
            for address in serving.addresses(bound):
                say(f"overtone app: {address}{f'{token}/' if token else ''}")
            say(f"files are kept in {folder} until Ctrl-C ends the server")
            serving.serve(app.asgi(settings.host, token), bound)
        finally:
            ended.set()
            app.library.stop_all()
            worker.close()
            count, size = content_size(folder)
            if count:
                say(f"removed {count} files ({size / 1e6:.0f} MB) from {folder}")


def _expire(app: App, ended: threading.Event, say: Callable[[str], None]) -> None:
    while not ended.wait(EVERY):
        for line in app.library.expire():
            say(line)
