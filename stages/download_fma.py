"""Bring music to data/fma: bundled, from the Free Music Archive, or a folder of one's own."""

import sys
import time
from pathlib import Path

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.data.sources.http import Progress
from overtone.data.sources.provide import DownloadSettings, provide
from stages import run

FMA = Path("data/fma")
shown = time.monotonic()


def show(progress: Progress) -> None:
    """Print progress: one line rewritten on a terminal, elsewhere a line every 15 seconds."""
    global shown
    if sys.stdout.isatty():
        print(f"\r{progress}".ljust(79), end="\n" if progress.done == progress.total else "", flush=True)
    elif time.monotonic() - shown > 15:
        shown = time.monotonic()
        print(progress, flush=True)


def main() -> None:
    """Fill data/fma."""
    settings = params.read("download", DownloadSettings)
    name = settings.folder or f"fma_{settings.subset}"
    try:
        done = provide(settings, FMA, show)
    except OvertoneError:
        if sys.stdout.isatty():
            print()  # the error gets a line of its own
        raise
    print(f"{FMA}: {name}" if done else f"{FMA}: {name} is here already")


if __name__ == "__main__":
    run(main)
