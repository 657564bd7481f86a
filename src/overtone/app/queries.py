"""Read numbers and small JSON objects from requests, and refuse all else."""

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_JSON = 100_000  # bytes


def whole_number(request: Request, name: str) -> int:
    """Read a whole number of a query.

    Raises:
        HTTPException: it is missing, or something else.
    """
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 15):
        raise HTTPException(400, f"{name} is a whole number")
    return int(text)


async def read_json(request: Request) -> dict[str, Any]:
    """Read a small JSON object.

    Raises:
        HTTPException: the body is something else, or too large.
    """
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415, "the body is application/json")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_JSON:
            raise HTTPException(413, "the body is too large")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(values, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return values
