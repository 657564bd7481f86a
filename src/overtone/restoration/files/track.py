"""Name one of several sound tracks."""

from typing import NamedTuple


class Track(NamedTuple):
    """A sound track: its number from 1 on, how many there are, and what is known of it."""

    number: int
    of: int
    codec: str
    channels: int
    language: str
    title: str

    def __str__(self) -> str:
        said = ", ".join(filter(None, (self.language, self.title, self.codec, f"{self.channels} ch")))
        return f"track {self.number} of {self.of} ({said})"
