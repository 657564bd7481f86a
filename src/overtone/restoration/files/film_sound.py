"""Encode the sound of a film by FFmpeg: what `overtone.restoration.files.film` says of codecs, done.

PyAV is loaded with this module, which is why it is imported only when it is needed.
"""

from fractions import Fraction
from typing import Any

import av
import numpy as np

from overtone.restoration.files import layouts
from overtone.restoration.files.encode import count_clipped, encoded
from overtone.restoration.files.formats import FILM_FORMATS
from overtone.restoration.files.layouts import Layout
from overtone.restoration.files.metadata import Metadata

# Suffix -> encoder, bits a second for each channel, options.
LOSSY: dict[str, tuple[str, int, dict[str, str]]] = {
    ".mp4": ("aac", 128_000, {"aac_coder": "fast"}),
    ".webm": ("libopus", 160_000, {}),
}
# Bits -> as `encoded` knows them, FFmpeg's format of a sample.
FORMS = {16: ("PCM", "s16"), 24: ("PCM", "s32"), 32: ("FLOAT", "flt")}


class SoundEncoder:
    """Encode blocks as a track of a film.

    Args:
        suffix: of the film.
        rate: in Hz.
        channels: their number.
        bits: of mov and mkv.
        metadata: with the layout and the sound's place in the film; a layout that the film does not hold is
            added to ``unheld``.

    Attributes:
        rate: in Hz.
        samples: per channel that were encoded.
    """

    def __init__(self, suffix: str, rate: int, channels: int, bits: int, metadata: Metadata) -> None:
        assert metadata.film is not None
        by_bits = FILM_FORMATS[suffix][1]
        self.rate, self._channels, self._bits = rate, channels, bits
        self._subtype: str | None = None
        if by_bits is None:
            self._codec, self._bit_rate, self._options = LOSSY[suffix]
            self._form = "fltp" if self._codec == "aac" else "flt"
        else:
            self._codec, self._bit_rate, self._options = by_bits[bits], 0, {}
            self._subtype, self._form = FORMS[bits]
        self._layout = _layout(metadata, channels, exact=by_bits is not None)
        self._start = round(metadata.film.start * rate)
        self.samples = 0

    def open(self, output: Any) -> Any:
        """Add the track to a film; return it."""
        self._stream = output.add_stream(self._codec, rate=self.rate, layout=self._layout)
        context = self._stream.codec_context
        context.format, context.time_base = self._form, Fraction(1, self.rate)
        if self._bit_rate:
            context.bit_rate = self._bit_rate * self._channels
        context.options.update(self._options)
        return self._stream

    @property
    def seconds(self) -> Fraction:
        """The time on the film's clock that the sound has come to."""
        return Fraction(self._start + self.samples, self.rate)

    def encode(self, block: np.ndarray) -> tuple[list[Any], int]:
        """Encode a (channels, time) float32 block; return packets, and the samples clipped."""
        samples = encoded(block, self._subtype, self._bits)
        if self._form == "s16":
            samples = (samples >> 16).astype(np.int16)
        planes = samples.T if self._form == "fltp" else samples.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), self._form, self._layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self._start + self.samples
        self.samples += block.shape[1]
        return self._stream.encode(frame), 0 if self._subtype == "FLOAT" else count_clipped(block)

    def flush(self) -> list[Any]:
        """Return the last packets."""
        packets: list[Any] = self._stream.encode(None)
        return packets


def _layout(metadata: Metadata, channels: int, exact: bool) -> str:
    """Return FFmpeg's name of the layout to be written.

    AAC and Opus know the usual layouts alone; FLAC and PCM hold any.
    """
    layout = metadata.layout
    usual = Layout(layouts.USUAL.get(channels, 0))
    if layouts.is_usual(layout, channels) or layout.ambisonic or not exact:
        if not layouts.is_usual(layout, channels):
            metadata.unheld.append(f"the layout {layout}")
        return str(usual) if usual.mask else f"{channels} channels"
    return str(layout)
