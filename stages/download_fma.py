"""Provide music in data/fma: bundled, from the Free Music Archive, or a folder of one's own."""

from pathlib import Path

from overtone.core import params
from overtone.data.sources.provide import DownloadSettings, provide
from stages import run

FMA = Path("data/fma")


def main() -> None:
    """Fill data/fma."""
    settings = params.read("download", DownloadSettings)
    name = settings.folder or f"fma_{settings.subset}"
    written = provide(settings, FMA)
    print(f"{FMA}: {name}" if written else f"{FMA}: {name} is up to date")


if __name__ == "__main__":
    run(main)
