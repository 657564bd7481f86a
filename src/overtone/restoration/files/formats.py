"""Name the formats that can be written, and the default output of a file."""

from pathlib import Path

OUTPUTS = (".flac", ".wav", ".ogg", ".mp3")


def default_target(source: Path) -> Path:
    """``talk.restored.flac`` beside ``talk.mp3``."""
    return source.with_name(f"{source.stem}.restored.flac")
