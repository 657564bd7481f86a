"""Print to a terminal: lines without control characters, a progress bar, no noise of C libraries."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator


def complain(message: str) -> None:
    """Print an error on standard error."""
    print(f"overtone: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text as one line without control characters, which file names may hold."""
    return "".join(char if char.isprintable() or "\udc80" <= char <= "\udcff" else " " for char in text)


def drop_output() -> None:
    """Discard what standard output still holds, so that Python does not report a failed flush at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_on_signals() -> None:
    """Let signals that end the process raise SystemExit, so that temporary files are removed."""
    # Windows has no terminal that hangs up.
    for ends in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        # nohup has the second ignored.
        if signal.getsignal(ends) != signal.SIG_IGN:
            signal.signal(ends, lambda number, _: sys.exit(128 + number))


class Bar:
    """Draw a progress bar with the time left, on a terminal only.

    Attributes:
        label: shown before the bar.
    """

    WIDTH = 24

    def __init__(self, label: str) -> None:
        self._terminal = sys.stderr.isatty()
        self.start(label)

    def start(self, label: str) -> None:
        """Begin another task."""
        self.label = label
        self._began = time.monotonic()
        self._shown = 0.0

    def show(self, share: float) -> None:
        """Draw the bar for a share of the work, 0 to 1; ten times a second at most."""
        now = time.monotonic()
        if not self._terminal or now - self._shown < 0.1:
            return
        self._shown = now
        left = (now - self._began) * (1 - share) / max(share, 1e-3)
        full = round(self.WIDTH * share)
        bar = "#" * full + "." * (self.WIDTH - full)
        tail = f" [{bar}] {share:4.0%} {left // 60:3.0f}:{left % 60:02.0f} left"
        label = printable(self.label)[: max(8, shutil.get_terminal_size().columns - len(tail) - 1)]
        print(f"\r{label}{tail}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the bar from the terminal."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Silence C libraries on standard error.

    mpg123 prints notes there on damaged files; the command's own line says what matters.
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
