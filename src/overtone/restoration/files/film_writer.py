"""Write a film again: all of its packets as they are, but those of one sound track, which is encoded.

::

    film ─► packets of pictures, subtitles, other tracks ───────────┐
                                                                    ├─► by time ─► new film
    restored blocks ─► encoder, first sample at `FilmSound.start` ──┘

A packet keeps its bytes and its timestamps, a track its place and its tags. Packets are copied up to the time
that the sound has come to, so that memory does not grow with the film.

PyAV is loaded with this module, which is why it is imported only when it is needed.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Discard

from overtone.core.errors import OvertoneError
from overtone.restoration.files.encode import encode_in_thread, writing_whole
from overtone.restoration.files.film import FilmSound, held_codecs, is_cover, open_container
from overtone.restoration.files.film_sound import SoundEncoder
from overtone.restoration.files.film_tags import film_tags, has_keys, image_kind, track_tags, write_mp4_tags
from overtone.restoration.files.formats import FILM_FORMATS, SoundForm
from overtone.restoration.files.matroska_aspect import ROOM, write_aspects
from overtone.restoration.files.metadata import Metadata

# Ticks a second that the header of MP4 can count in: a number of 32 bits with a sign.
MOST_TICKS = (1 << 31) - 1
# Bytes that are written at a time.
BUFFER = 1 << 20


def write_film(target: Path, blocks: Iterator[np.ndarray], form: SoundForm, metadata: Metadata) -> int:
    """Write a film with restored sound, as `overtone.restoration.files.encode.write` writes sound.

    Args:
        target: mp4, mov, mkv or webm, that `overtone.restoration.files.film.check_film` has found to fit.
        blocks: (channels, time) float32 in the order of WAV's mask; not read where the sound is copied.
        form: of the sound that the blocks have in all; bits count for mov and mkv.
        metadata: with the sound's place in the film; what the target does not hold is added to ``unheld``.

    Raises:
        OvertoneError: the target cannot be written; nothing is left behind then.
    """
    film, tag = metadata.film, metadata.tags.get("encoder", "")
    assert film is not None
    suffix, clipped = target.suffix.lower(), 0
    encoder = None if film.copied else SoundEncoder(suffix, form.rate, form.channels, form.bits, metadata)
    with writing_whole(target) as temporary:
        try:
            with _Remuxer(film, temporary, encoder, tag) as remuxer:
                if encoder is not None:
                    clipped = encode_in_thread(blocks, remuxer.add)
                    if encoder.samples != form.length:
                        raise OvertoneError(f"{target} was not written whole")
                remuxer.finish()
        except (av.FFmpegError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise OvertoneError(f"{target} cannot be written (FFmpeg: {said}); name .mkv") from None
        if suffix == ".mp4" and not remuxer.keyed:
            write_mp4_tags(temporary, film.path, tag, remuxer.covers)
    metadata.unheld += remuxer.unheld
    return clipped


class _Remuxer:
    """Copy a film's packets into another film, and those of an encoder among them.

    Args:
        film: the sound's place in the source.
        path: the film to be written.
        encoder: of the sound; None where it is copied as well.
        tag: that names the encoder.

    Attributes:
        keyed: whether the tags are written as keys.
        covers: the source's covers.
        unheld: names of the tracks that the film does not hold.
    """

    def __init__(self, film: FilmSound, path: Path, encoder: SoundEncoder | None, tag: str) -> None:
        self._film, self._path, self._encoder = film, path, encoder
        self._suffix = path.suffix.lower()
        self._tag = "" if encoder is None else tag
        self.unheld: list[str] = []
        self._displays: list[tuple[int, int]] = []

    def __enter__(self) -> "_Remuxer":
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open_container(self._film.path))
            if source is None:
                raise OvertoneError(
                    f"{self._film.path} changed while it was read; restore it once it is finished"
                )
            self._source: Any = source
            self.keyed = has_keys(source, self._suffix)
            self.covers = _read_covers(self._film.path)
            self._raw = stack.enter_context(self._path.open("wb+", buffering=BUFFER))
            self._output: Any = av.open(
                self._raw,
                "w",
                format=FILM_FORMATS[self._suffix][0],
                container_options=self._options(),
                buffer_size=BUFFER,
            )
            self._open_tracks()
            self._packets = self._read()
            self._next = next(self._packets, None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        with self._stack:
            if kind is not None:
                # A film of which only a part is there gets no end: PyAV leaves a closed file alone.
                self._raw.close()
            self._output.close()

    def add(self, block: np.ndarray) -> int:
        """Encode a block of sound, and copy what comes before its end; return the samples clipped."""
        assert self._encoder is not None
        packets, clipped = self._encoder.encode(block)
        self._copy(self._encoder.seconds)
        self._output.mux(packets)
        return clipped

    def finish(self) -> None:
        """Write all that is left."""
        if self._encoder is not None:
            self._output.mux(self._encoder.flush())
        self._copy(None)
        self._output.close()
        if self._displays:
            write_aspects(self._raw, self._displays)

    def _options(self) -> dict[str, str]:
        """Return options of MP4's and MOV's writer: tags as keys, and a header whose clock counts samples."""
        if self._suffix not in (".mp4", ".mov"):
            return {}
        starts = [
            stream.start_time * stream.time_base for stream in self._source.streams if stream.start_time
        ]
        rate = self._source.streams[self._film.stream].rate if self._encoder is None else self._encoder.rate
        ticks = lcm(rate, *(start.denominator for start in starts))
        options = {"movie_timescale": str(ticks if ticks <= MOST_TICKS else rate)}
        return options | ({"movflags": "use_metadata_tags"} if self.keyed else {})

    def _open_tracks(self) -> None:
        """Add all tracks in the source's order, and write the header."""
        output = self._output
        output.metadata.update(film_tags(self._source, self._suffix, self._tag))
        self._tracks: dict[int, Any] = {}
        for stream in self._source.streams:
            encoder = self._encoder if stream.index == self._film.stream else None
            track = self._add_copy(stream) if encoder is None else encoder.open(output)
            if track is not None:
                self._tracks[stream.index] = track
                track.metadata.update(track_tags(stream, None if encoder is None else self._tag))
                track.disposition = stream.disposition
                self._keep_shape(stream, track)
        if self._suffix == ".mkv":
            for number, data in enumerate(self.covers):
                kind = image_kind(data)
                output.add_attachment(f"cover{number or ''}.{kind}", f"image/{kind}", data)
        output.set_chapters(self._source.chapters())
        output.start_encoding()

    def _add_copy(self, stream: Any) -> Any:
        """Add a track whose packets are copied; None if there is none, or none that the film holds."""
        context = stream.codec_context
        if stream.type == "video" and is_cover(stream):
            if self.keyed or self._suffix == ".webm":
                self.unheld.append("a cover")
            return None
        if stream.type == "data":
            # FFmpeg writes the tracks of chapters and of time codes itself.
            if stream.discard != Discard.all and "timecode" not in stream.metadata:
                self.unheld.append(f"track {stream.index} (data)")
            return None
        if stream.type == "attachment" and self._suffix == ".mkv":
            return self._output.add_stream_from_template(stream)
        if context is None or context.name not in held_codecs(self._suffix):
            self.unheld.append(
                f"track {stream.index} ({stream.type}{f', {context.name}' if context else ''})"
            )
            return None
        track = self._output.add_stream_from_template(stream, opaque=True)
        if context.name == "mov_text" and self._suffix in (".mp4", ".mov"):
            # FFmpeg compares its ticks with those of other tracks, and adds empty text where they are fewer.
            most = max(20_000, *(other.time_base.denominator for other in self._source.streams))
            track.time_base = stream.time_base / ceil(2 * most * stream.time_base)
        if self._keeps_tag(context.name):
            track.codec_context.codec_tag = context.codec_tag
        # A rate that is no constant is not one of the track.
        if stream.type == "video" and stream.average_rate and stream.average_rate == stream.base_rate:
            track.codec_context.framerate = stream.average_rate
        return track

    def _keep_shape(self, stream: Any, track: Any) -> None:
        """Keep the shape of pixels that are no squares, which in Matroska takes room in the header."""
        shape = stream.sample_aspect_ratio if stream.type == "video" else None
        if not shape or shape == 1:
            return
        track.codec_context.sample_aspect_ratio = shape
        if self._suffix in (".mkv", ".webm"):
            track.metadata["title"] = track.metadata.get("title", "") + ROOM
            context = stream.codec_context
            self._displays.append((round(context.width * shape), context.height))

    def _keeps_tag(self, codec: str) -> bool:
        """Return whether a track keeps the four letters by which MP4 and MOV know its codec: hvc1 or hev1."""
        if "mov" not in self._source.format.name or self._suffix not in (".mp4", ".mov"):
            return False
        quicktime = self._source.metadata.get("major_brand", "qt  ") == "qt  "
        return quicktime == (self._suffix == ".mov") or codec in ("h264", "hevc", "av1")

    def _read(self) -> Iterator[Any]:
        """Yield the packets that are copied, in the source's order."""
        copied = [stream for stream in self._source.streams if stream.index in self._tracks]
        if self._encoder is not None:
            copied = [stream for stream in copied if stream.index != self._film.stream]
        for packet in self._source.demux([stream for stream in copied if stream.codec_context]):
            if packet.size or packet.pts is not None:
                yield packet

    def _copy(self, seconds: Fraction | None) -> None:
        """Copy packets up to a time on the film's clock; all of them by default."""
        while (packet := self._next) is not None:
            ticks = packet.pts if packet.dts is None else packet.dts
            if seconds is not None and ticks is not None and ticks * packet.time_base > seconds:
                return
            packet.stream = self._tracks[packet.stream_index]
            self._output.mux(packet)
            self._next = next(self._packets, None)


def _read_covers(path: Path) -> list[bytes]:
    """Return the covers of a film."""
    with open_container(path) as container:
        if container is None or not (covers := [*filter(is_cover, container.streams.video)]):
            return []
        found: dict[int, bytes] = {}
        for packet in container.demux(covers):
            found.setdefault(packet.stream_index, bytes(packet))
            if len(found) == len(covers):
                break
        return [data for data in found.values() if data]
