"""Bind a socket, list the addresses that reach it, and serve an application on it until Ctrl-C."""

import contextlib
import socket

import uvicorn
from starlette.types import ASGIApp

from overtone.core.errors import OvertoneError


def listen_on(host: str, port: int) -> socket.socket:
    """Bind a socket to an address; port 0 is any free one.

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
    """List the page's addresses; with this machine's address in the network if the socket is open to all."""
    host, port = bound.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    found = [f"http://127.0.0.1:{port}/"]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing: it asks the system which of our addresses would be used to reach another network.
        probe.connect(("192.0.2.1", 9))
        found.append(f"http://{probe.getsockname()[0]}:{port}/")
    return found


def serve(application: ASGIApp, bound: socket.socket) -> None:
    """Serve an application until Ctrl-C."""
    config = uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off", ws="none")
    with bound, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
