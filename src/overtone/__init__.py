"""overtone gives band-limited music its treble back."""

__version__ = "0.1.0"
