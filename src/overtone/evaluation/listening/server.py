"""The page over HTTP, for this machine or its network.

GET  /                    the page
GET  /test.json           what the page must know before it starts
GET  /session/LISTENER    a listener's trials, and what he has rated of them
GET  /audio/NAME.wav      a sound
POST /ratings             {"listener": id, "ratings": [...]}: stored before the answer
"""

import contextlib
import json
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from overtone.core.errors import OvertoneError
from overtone.evaluation.listening import session
from overtone.evaluation.listening.examples import Examples
from overtone.evaluation.listening.exchange import FORMAT, PAGE
from overtone.evaluation.listening.store import LISTENER, RefusedError, Store

LARGEST = 1_000_000  # bytes of ratings at once; the page sends a few hundred
# Nothing but this server's own files: the page works without internet and tells no one.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


def application(examples: Examples, store: Store) -> Starlette:
    """The routes above, for one set of examples."""
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
        async for part in request.stream():
            body += part
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

    async def careful(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return Starlette(
        routes=[
            Route("/test.json", test),
            Route("/session/{listener}", trials),
            Route("/audio/{name}.wav", sound),
            Route("/ratings", rate, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=careful)],
    )


def listen_on(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 is any free one.

    Raises:
        OvertoneError: the port is taken, or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        message = f"{host} port {port} cannot be used: {error.strerror}; try another --port"
        raise OvertoneError(message) from None
    return bound


def addresses(bound: socket.socket) -> list[str]:
    """Where the page is: this machine's address in the network too when the socket is open to all."""
    host, port = bound.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    found = [f"http://127.0.0.1:{port}/"]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing: it asks the system which of our addresses would be used to reach another network.
        probe.connect(("192.0.2.1", 9))
        found.append(f"http://{probe.getsockname()[0]}:{port}/")
    return found


def serve(examples: Examples, store: Store, bound: socket.socket) -> None:
    """Serve until Ctrl-C."""
    config = uvicorn.Config(
        application(examples, store), log_level="warning", access_log=False, lifespan="off"
    )
    with bound, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
