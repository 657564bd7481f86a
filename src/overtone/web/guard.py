"""Refuse HTTP requests that come from other sites' pages, and keep each response to this page.

A page that listens on this machine can be reached by every page that its user opens elsewhere, in two ways:

- DNS rebinding: the attacker's name is resolved to 127.0.0.1, so that the browser takes both for one site.
  The request still has that name as its ``Host``. Only names and addresses of this machine are answered.
- Cross-site requests: a form or script elsewhere sends to 127.0.0.1. The browser adds ``Origin``, or
  ``Sec-Fetch-Site`` where there is none. Only the page's own are answered.

Source: OWASP, "Cross-Site Request Forgery Prevention Cheat Sheet"; W3C, "Fetch Metadata Request Headers".
"""

import hmac
import ipaddress
import re
import socket
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    # Only this server's own files: the page works without internet and sends nothing elsewhere.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Answer requests from this server's own pages; refuse others with 403.

    Args:
        app: the application behind the guard.
        host: the address that the socket is bound to, or the name that it was bound by.
        token: what each path must begin with, as ``/TOKEN/``, if not None.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None = None) -> None:
        self._app, self._host, self._token = app, host.lower(), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, by the ASGI protocol."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-cache")
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        app = self._answer(scope)
        await app(scope, receive, with_headers)

    def _answer(self, scope: Scope) -> ASGIApp:
        """Return the application for a request, or a refusal; remove the token from the path."""
        if reason := self._foreign(Headers(scope=scope), scope["method"]):
            return PlainTextResponse(reason, 403)
        if self._token is None:
            return self._app
        first, slash, rest = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(first.encode(), self._token.encode()):
            return PlainTextResponse("this address lacks its token; open the page as it was printed", 403)
        if not slash:
            return RedirectResponse(f"/{quote(self._token)}/")
        scope["path"], scope["raw_path"] = f"/{rest}", None
        return self._app

    def _foreign(self, headers: Headers, method: str) -> str:
        """Return why a request is another site's; empty if it is not."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "this name is not served here; open the page at the address that was printed"
        for origin in origins:
            if origin.lower() not in {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}:
                return "requests from other sites are refused"
        # Links from elsewhere may open the page; nothing else may come from another site.
        elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if elsewhere and (method != "GET" or headers.get("sec-fetch-mode") != "navigate"):
            return "requests from other sites are refused"
        return ""

    def _is_ours(self, header: str) -> bool:
        """Tell whether a Host header names this machine."""
        match = HOST.fullmatch(header)
        if not match:
            return False
        name = (match["six"] or match["name"]).lower().removesuffix(".")
        if name in LOOPBACK or name == self._host:
            return True
        if self._host in LOOPBACK:
            return False
        # Open to the network: an address in numbers is never resolved, so it cannot be rebound.
        own = socket.gethostname().lower()
        return name in (own, f"{own}.local") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
