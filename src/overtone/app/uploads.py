"""Stream request bodies to disk, up to a limit."""

import asyncio
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

GATHERED = 1 << 20  # bytes that are written at once


class RefusedError(Exception):
    """An upload that is not stored, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def store(request: Request, path: Path, limit: int) -> int:
    """Write a request's body to a file; return its size in bytes.

    Nothing is left of a body that is refused or breaks off.

    Raises:
        RefusedError: the body is empty, larger than the limit, or broke off, or the disk is full.
    """
    too_large = RefusedError(413, f"the file is larger than {limit / 1e9:.3g} GB, the limit of --max-size")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    size = 0
    try:
        with path.open("wb") as file:
            waiting = bytearray()
            async for piece in request.stream():
                waiting += piece
                size += len(piece)
                if size > limit:
                    raise too_large
                if len(waiting) >= GATHERED:
                    await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
            await asyncio.to_thread(file.write, waiting)
        if not size:
            raise RefusedError(400, "the file is empty")
    except ClientDisconnect:
        path.unlink(missing_ok=True)
        raise RefusedError(400, "the upload broke off") from None
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RefusedError(507, f"the file cannot be stored: {error.strerror}") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size
