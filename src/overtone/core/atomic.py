"""Write a file completely or not at all: under a temporary name beside it, then renamed."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside a file; rename it to the file at the end, delete it on an error.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("all of it")
        ...     [file.name for file in Path(folder).iterdir()]
        ['a.txt']
    """
    # Two processes may write the same file, and its name may be as long as names can be. DVC and Git ignore
    # the suffix.
    temporary = Path(path).with_name(f".overtone-{secrets.token_hex(4)}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(values: Any, path: str | Path) -> None:
    """Write JSON with two spaces of indentation, completely or not at all; NaN and infinity are refused."""
    write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", path)
