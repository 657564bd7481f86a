"""What the command says to people: lines that are safe to print, a progress bar, no C library between."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    print(f"overtone: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text in one line without control characters: file names may hold any."""
    return "".join(char if char.isprintable() or "\udc80" <= char <= "\udcff" else " " for char in text)


def drop_output() -> None:
    """Send what standard output still holds to nowhere, or Python would fail to flush it, and say so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Bar:
    """A progress bar with the time left on a terminal; nothing elsewhere."""

    WIDTH = 24

    def __init__(self, prefix: str, source: Path) -> None:
        self._label = printable(prefix + (source.name or str(source)))
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._shown = 0.0

    def show(self, share: float) -> None:
        """Draw it, ten times a second at most."""
        now = time.monotonic()
        if not self._terminal or now - self._shown < 0.1:
            return
        self._shown = now
        left = (now - self._began) * (1 - share) / max(share, 1e-3)
        full = round(self.WIDTH * share)
        bar = "#" * full + "." * (self.WIDTH - full)
        tail = f" [{bar}] {share:4.0%} {left // 60:3.0f}:{left % 60:02.0f} left"
        label = self._label[: max(8, shutil.get_terminal_size().columns - len(tail) - 1)]
        print(f"\r{label}{tail}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe it away."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Keep what C libraries write to standard error from people.

    mpg123 notes there what it stumbles over; what matters of it is in our own line.
    """
    if sys.stderr is not sys.__stderr__ or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    real, kept = sys.stderr, os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as ours:
        os.dup2(null, 2)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = real
            os.dup2(kept, 2)
            os.close(kept)
            os.close(null)
