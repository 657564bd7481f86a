"""Serve the listening page over HTTP, for this machine or its network.

GET  /                    the page
GET  /test.json           the test's name and where ratings go
GET  /session/LISTENER    a listener's trials, and his ratings so far
GET  /audio/NAME.wav      a sound
POST /ratings             {"listener": id, "ratings": [...]}: stored before the answer
"""

import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from overtone.evaluation.listening import session
from overtone.evaluation.listening.examples import Examples
from overtone.evaluation.listening.exchange import FORMAT, PAGE
from overtone.evaluation.listening.store import LISTENER, RefusedError, Store
from overtone.web.guard import Guard

LARGEST = 1_000_000  # bytes of ratings at once; the page sends a few hundred
SHARED: list[str | tuple[str, str]] = [("overtone.web", "static")]


def application(examples: Examples, store: Store, host: str = "127.0.0.1") -> Starlette:
    """Build the routes above for one set of examples; ``host`` is what the socket is bound to."""
    names = session.clips(examples, store.secret)
    store.know(examples.test, names)

    async def test(request: Request) -> Response:
        return JSONResponse({"saving": "server", "format": FORMAT, "test": examples.test})

    def trials(request: Request) -> Response:
        listener = request.path_params["listener"]
        if not LISTENER.fullmatch(listener):
            return Response("no listener's id", 404)
        order = session.order(names, listener, store.secret)
        return JSONResponse({"trials": order, "ratings": store.rated(listener, examples.test)})

    async def sound(request: Request) -> Response:
        clip = names.get(request.path_params["name"])
        if clip is None:
            return Response("no such sound", 404)
        return Response(examples.sounds[clip.sample][clip.system], media_type="audio/wav")

    async def rate(request: Request) -> Response:
        # Other sites' pages cannot send this type without asking first, and are not answered.
        if request.headers.get("content-type") != "application/json":
            return Response("ratings are application/json", 415)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST:
                return Response("too many ratings at once", 413)
        try:
            content = json.loads(body)
            if not isinstance(content, dict):
                raise RefusedError("the ratings are not an object")
            await run_in_threadpool(store.rate, content.get("listener"), content.get("ratings"))
        except RefusedError as error:
            return Response(str(error), 400)
        except (ValueError, RecursionError):
            return Response("the ratings are not JSON", 400)
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/test.json", test),
            Route("/session/{listener}", trials),
            Route("/audio/{name}.wav", sound),
            Route("/ratings", rate, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True, packages=SHARED)),
        ],
        middleware=[Middleware(Guard, host=host)],
    )
