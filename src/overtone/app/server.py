"""Serve the page over HTTP. Every tab has a session of its own, which only its random name opens.

GET    /                                  the page
GET    /about.json                        limits and formats
GET    /tabs/TAB                          its files and their progress
POST   /tabs/TAB/files?name=NAME          upload a file: the request's body
POST   /tabs/TAB/save                     {"format", "files": {KEY: controls}}: write a ZIP archive
POST   /tabs/TAB/leave                    the tab is closed, or reloads
GET    /tabs/TAB/saved.zip                the archive
DELETE /tabs/TAB/files/KEY                remove a file
POST   /tabs/TAB/files/KEY/restore        {"cutoff": Hz or null}: restore it again
POST   /tabs/TAB/files/KEY/cancel         stop restoring it
GET    /tabs/TAB/files/KEY/picture        levels over time and frequency of input and added band
GET    /tabs/TAB/files/KEY/sound          ?start&count: samples of input and added band
POST   /tabs/TAB/files/KEY/curve          controls: the impulse response and the gains for one loudness
POST   /tabs/TAB/files/KEY/reference      ?name: upload a reference: the request's body
DELETE /tabs/TAB/files/KEY/reference      remove it
POST   /tabs/TAB/files/KEY/save           {"format", "controls"}: write the restored file
GET    /tabs/TAB/files/KEY/saved          ?format: the restored file
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from overtone.app import curve, library, mixing, picture, saving, uploads
from overtone.app.library import Item, Library, Session
from overtone.app.queries import read_json, whole_number
from overtone.app.worker import Worker
from overtone.core.errors import OvertoneError
from overtone.formats import BY_FFMPEG, FILMS, SUFFIXES
from overtone.restoration.files.encode import FORMATS
from overtone.web.guard import Guard

PAGE = Path(__file__).parent / "page"
SHARED: list[str | tuple[str, str]] = [("overtone.web", "static")]
MOST_SAMPLES = 1 << 20  # of a preview request, per channel
MEDIA = {".flac": "audio/flac", ".wav": "audio/wav", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}


class App:
    """The routes above, for one work folder.

    Args:
        folder: the work folder.
        max_size: of an upload, in bytes.
        worker: restores the files.
    """

    def __init__(self, folder: Path, max_size: int, worker: Worker) -> None:
        self.library, self._worker, self._max_size, self._folder = Library(folder), worker, max_size, folder

    def asgi(self, host: str, token: str | None = None) -> Starlette:
        """Build the application for a socket bound to ``host``."""
        files = "/tabs/{tab}/files"
        one = files + "/{key}"
        return Starlette(
            routes=[
                Route("/about.json", self._about),
                Route("/tabs/{tab}", self._state),
                Route(files, self._upload, methods=["POST"]),
                Route("/tabs/{tab}/save", self._save_all, methods=["POST"]),
                Route("/tabs/{tab}/saved.zip", self._archive),
                Route("/tabs/{tab}/leave", self._leave, methods=["POST"]),
                Route(one, self._remove, methods=["DELETE"]),
                Route(one + "/restore", self._restore, methods=["POST"]),
                Route(one + "/cancel", self._cancel, methods=["POST"]),
                Route(one + "/picture", self._picture),
                Route(one + "/sound", self._sound),
                Route(one + "/curve", self._curve, methods=["POST"]),
                Route(one + "/reference", self._reference, methods=["POST", "DELETE"]),
                Route(one + "/save", self._save, methods=["POST"]),
                Route(one + "/saved", self._saved),
                Mount("/", StaticFiles(directory=PAGE, html=True, packages=SHARED)),
            ],
            middleware=[Middleware(Guard, host=host, token=token)],
            exception_handlers={
                OvertoneError: _as_text(400),
                KeyError: _as_text(404, "no such file here"),
                FileNotFoundError: _as_text(404, "no such file here"),
                uploads.RefusedError: _refused,
                ClientDisconnect: _as_text(400, "the request broke off"),
                OSError: _as_text(507),
            },
        )

    def _session(self, request: Request) -> Session:
        return self.library.session(request.path_params["tab"])

    def _item(self, request: Request) -> Item:
        return self.library.item(self._session(request), request.path_params["key"])

    def _ready(self, request: Request) -> Item:
        """Return an item that has been restored."""
        item = self._item(request)
        if "added" not in item.facts:
            raise HTTPException(409, "this file is not restored yet")
        return item

    async def _about(self, request: Request) -> Response:
        return JSONResponse(
            {
                "limit": self._max_size,
                "suffixes": [*SUFFIXES, *BY_FFMPEG, *FILMS],
                "formats": [suffix.removeprefix(".") for suffix in FORMATS],
            }
        )

    async def _state(self, request: Request) -> Response:
        session = self._session(request)
        return JSONResponse({"files": [item.public() for item in session.items.values()]})

    async def _leave(self, request: Request) -> Response:
        self.library.close(request.path_params["tab"])
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        session = self._session(request)
        item = self.library.new_item(session, request.query_params.get("name", ""))
        try:
            await uploads.store(request, item.source, self._max_size)
        except BaseException:
            library.discard(item.folder)
            raise
        self.library.add(session, item)
        self._worker.put(item)
        return JSONResponse(item.public(), 201)

    async def _remove(self, request: Request) -> Response:
        session = self._session(request)
        await run_in_threadpool(self.library.remove, session, request.path_params["key"])
        return Response(status_code=204)

    async def _restore(self, request: Request) -> Response:
        item, values = self._item(request), await read_json(request)
        cutoff = values.get("cutoff")
        if cutoff is not None and (type(cutoff) not in (int, float) or not 500 <= cutoff <= 96000):
            raise OvertoneError("the cutoff is a frequency in Hz, 500 or more")
        if item.state in (library.WAITING, library.RUNNING):
            raise HTTPException(409, "this file is being restored; cancel that first")
        item.wanted_cutoff = cutoff
        self._worker.put(item)
        return JSONResponse(item.public())

    async def _cancel(self, request: Request) -> Response:
        item = self._item(request)
        item.stop.set()
        return JSONResponse(item.public())

    async def _picture(self, request: Request) -> Response:
        item = self._item(request)
        if "rate" not in item.facts:
            raise HTTPException(409, "this file is not decoded yet")

        def draw() -> Response:
            signals = [item.dry, item.added] if "added" in item.facts else [item.dry]
            rows = [picture.levels(signal) for signal in signals]
            headers = {"X-Columns": str(rows[0].shape[1]), "X-Rows": str(picture.ROWS)}
            content = b"".join(levels.tobytes() for levels in rows)
            return Response(content, media_type="application/octet-stream", headers=headers)

        return await run_in_threadpool(draw)

    async def _sound(self, request: Request) -> Response:
        """Answer 16-bit little-endian samples, interleaved: the input's channels, then the added band's."""
        item = self._ready(request)
        start, count = (whole_number(request, name) for name in ("start", "count"))
        if count > MOST_SAMPLES:
            raise HTTPException(413, f"at most {MOST_SAMPLES} samples at once")

        def read() -> bytes:
            pair = [mixing.preview(signal.read(start, count)) for signal in (item.dry, item.added)]
            whole = np.rint(np.clip(np.concatenate(pair), -1, 1) * 32767).astype("<i2")
            return bytes(whole.T.tobytes())

        return Response(await run_in_threadpool(read), media_type="application/octet-stream")

    async def _curve(self, request: Request) -> Response:
        item, values = self._ready(request), await read_json(request)

        def compute() -> dict[str, Any]:
            taps = _taps(item, values)
            levels = mixing.match_levels(item, taps)
            return {
                "taps": [float(tap) for tap in taps],
                "gains": picture.gains(taps),
                "file": levels.file,
                "restored": levels.restored,
            }

        return JSONResponse(await run_in_threadpool(compute))

    async def _reference(self, request: Request) -> Response:
        item = self._ready(request)
        if request.method == "DELETE":
            item.reference, item.reference_name = None, ""
            item.reference_path.unlink(missing_ok=True)
            item.version += 1
            return JSONResponse(item.public())
        if item.reference_name and item.reference is None:
            raise HTTPException(409, "a reference is being measured")
        await uploads.store(request, item.reference_path, self._max_size)
        item.reference_name = library.safe_name(request.query_params.get("name", ""))
        item.reference, item.message = None, ""
        self._worker.put_reference(item)
        return JSONResponse(item.public(), 201)

    async def _save(self, request: Request) -> Response:
        item, values = self._ready(request), await read_json(request)
        suffix, taps = _suffix(values), _taps(item, values.get("controls", {}))

        def write() -> int:
            with item.using:
                return saving.save(item, suffix, taps)[1]

        clipped = await run_in_threadpool(write)
        return JSONResponse({"name": saving.target_name(item, suffix), "clipped": clipped})

    async def _saved(self, request: Request) -> Response:
        item = self._ready(request)
        suffix = f".{request.query_params.get('format', '')}"
        if suffix not in FORMATS or not (path := item.folder / f"saved{suffix}").is_file():
            raise KeyError(suffix)
        return FileResponse(path, media_type=MEDIA[suffix], filename=saving.target_name(item, suffix))

    async def _save_all(self, request: Request) -> Response:
        session, values = self._session(request), await read_json(request)
        suffix, chosen = _suffix(values), values.get("files")
        if not isinstance(chosen, dict) or not chosen:
            raise OvertoneError("the files to save are missing")
        items = [(self.library.item(session, key), controls) for key, controls in chosen.items()]
        if any("added" not in item.facts for item, _ in items):
            raise HTTPException(409, "some files are not restored yet")
        pairs = [(item, _taps(item, controls)) for item, controls in items]
        clipped = await run_in_threadpool(saving.save_all, pairs, suffix, session.folder / "saved.zip")
        return JSONResponse({"name": "restored.zip", "clipped": clipped})

    async def _archive(self, request: Request) -> Response:
        path = self._session(request).folder / "saved.zip"
        if not path.is_file():
            raise KeyError("saved.zip")
        return FileResponse(path, media_type="application/zip", filename="restored.zip")


def _taps(item: Item, values: object) -> np.ndarray:
    return curve.taps_of(item, curve.read_controls(values))


def _suffix(values: dict[str, Any]) -> str:
    suffix = f".{values.get('format')}"
    if suffix not in FORMATS:
        raise OvertoneError(f"the format is one of {', '.join(FORMATS)}")
    return suffix


def _as_text(status: int, message: str = "") -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer an exception with a status and its message, or another one."""

    async def answer(request: Request, error: Exception) -> Response:
        reason = message or getattr(error, "strerror", None) or str(error)
        return PlainTextResponse(reason, status)

    return answer


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, uploads.RefusedError)
    return PlainTextResponse(str(error), error.status)
