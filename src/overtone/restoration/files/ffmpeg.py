"""Read sound by FFmpeg, which PyAV brings: what libsndfile does not know, such as M4A, WMA and films.

PyAV is loaded with this module, which is why it is imported only when it is needed.
"""

import itertools
import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr

from overtone.formats import UNKNOWN
from overtone.restoration.files import layouts
from overtone.restoration.files.ffmpeg_formats import BROADCAST, FORMATS, KNOWN_LENGTH, RAW
from overtone.restoration.files.film import FilmSound, locate
from overtone.restoration.files.timeline import GAP, Timeline
from overtone.restoration.files.track import Track
from overtone.restoration.files.window import Window
from overtone.restoration.stream.fifo import Fifo

# DSD comes as bytes at 352.8 kHz and more, noise above 25 kHz; it is brought to less than that.
DSD_MOST = 96_000
# Bytes between two frames of a raw format that are no damage, such as padding.
RAW_SLACK = 64
SILENCE = 1 << 16
SKIP_MANUAL = 1 << 29


class Unreadable(soundfile.SoundFileError):  # type: ignore[misc]
    """FFmpeg does not read a file; ``error_string`` is what it says, or empty."""

    def __init__(self, error_string: str) -> None:
        super().__init__(error_string)
        self.error_string = error_string


class _Raw:
    """An open file as FFmpeg wants it: that it cannot seek where damage sends it is no exception."""

    def __init__(self, raw: BinaryIO | Window) -> None:
        self.read, self.tell, self._seek = raw.read, raw.tell, raw.seek

    def seek(self, offset: int, whence: int) -> int:
        try:
            return self._seek(offset, whence)
        except (KeyError, OSError, ValueError):
            return -1


class FFmpegFile:
    """The sound of a file, read from beginning to end; as much of a ``soundfile.SoundFile`` as that takes.

    Channels come in the order of WAV's mask. Silence stands for what was not sent.

    Args:
        raw: the open file.
        track: number of the sound track, from 1 on; by default FFmpeg's choice of them is read.
        whole: whether all bytes are there that the container has promised: then a missing end is silence.

    Attributes:
        tracks: all sound tracks.
        track: the number of the one that is read.
        timeline: silences and jumps of the clock, filled while it is read.
        layout: of the channels.
        cut: whether the file was found to end inside a packet, known once it is read.

    Raises:
        Unreadable: it is not of these formats, or there is no such sound in it.
    """

    extra_info = ""

    def __init__(self, raw: BinaryIO | Window, track: int | None = None, whole: bool = True) -> None:
        # Closing waits for a thread that reads.
        self._lock = threading.Lock()
        try:
            self._container = av.open(
                _Raw(raw),
                "r",
                container_options={"format_whitelist": ",".join(sorted(FORMATS))},
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError):
            # It says only that an argument or the data are invalid.
            raise Unreadable("no format that it knows, or no sound in it") from None
        try:
            self._open_stream(track)
        except BaseException:
            self._container.close()
            raise
        self._whole = whole
        self._decoded = self._resampled()
        self._waiting = Fifo(self.channels)
        self._fault: Unreadable | None = None

    def _open_stream(self, track: int | None) -> None:
        """Choose the sound track, and find out its rate, length and layout."""
        container = self._container
        sounds = [stream for stream in container.streams.audio if stream.codec_context]
        of = len(sounds)
        self.tracks = [
            Track(
                number + 1,
                of,
                stream.codec_context.name,
                stream.channels,
                (stream.language or "").replace("und", ""),
                stream.metadata.get("title", "") or stream.metadata.get("name", ""),
            )
            for number, stream in enumerate(sounds)
        ]
        best = container.streams.best("audio")
        if track is not None:
            if not 1 <= track <= of:
                raise Unreadable(f"it has {of} sound tracks, and no track {track}")
            best = sounds[track - 1]
        if best not in sounds or not isinstance(best, av.AudioStream) or not (best.rate and best.channels):
            raise Unreadable("there is no sound in it that FFmpeg knows")
        self.track = sounds.index(best) + 1
        self._stream = best
        self.format = container.format.name
        self._names = {*self.format.split(",")}
        self._rate, self.channels = best.rate, best.channels
        self.samplerate = self._rate
        while best.codec_context.name.startswith("dsd_") and self.samplerate > DSD_MOST:
            self.samplerate //= 2
        names = [speaker.name for speaker in best.layout.channels]
        self.layout, self._order = layouts.named(names), layouts.wav_order(names)
        tick = Fraction(best.time_base or Fraction(1, self._rate))
        self.timeline = Timeline(self._rate, tick, bool(self._names & BROADCAST))
        self.cut = False
        if "caf" in self._names and best.codec_context.name == "alac":
            # FFmpeg takes the filling of the last packet off twice.
            best.codec_context.flags2 |= SKIP_MANUAL
        self._origin: Fraction | None = None
        self._end = self._promised()
        self.frames = round(self._end * self.samplerate) if self._end else UNKNOWN

    def _promised(self) -> Fraction | None:
        """Return when the sound ends by the header, in seconds of its clock; None if that is unknown."""
        stream, container = self._stream, self._container
        if not self._names & KNOWN_LENGTH:
            return None
        if stream.duration:
            return Fraction((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base or 1)
        # Matroska knows how long all is, of which sound may be the shorter part.
        if len(container.streams) == 1 and container.duration:
            return Fraction(container.duration, av.time_base)
        return None

    def read(self, frames: int, **_: Any) -> np.ndarray:
        """The next samples, (time, channels) float32; fewer than asked for at the end alone.

        Raises:
            Unreadable: they do not decode; those before them have been given.
        """
        with self._lock:
            try:
                while self._waiting.size < frames and (block := next(self._decoded, None)) is not None:
                    self._waiting.append(block)
            except Unreadable as fault:
                self._fault = fault
            if self._fault and not self._waiting.size:
                raise self._fault
            return self._waiting.take(frames).T

    def place(self, path: Path) -> FilmSound | None:
        """Return where the sound lies in a film, once it is read; None if the file is no film."""
        return locate(path, self._container, self._stream, (self._origin or 0) + self.timeline.first)

    def copy_metadata(self) -> dict[str, str]:
        """The tags by FFmpeg's names: soundfile's, but for the case of some and the number of the track."""
        return {name.lower(): value for name, value in self._container.metadata.items()}

    def __enter__(self) -> "FFmpegFile":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._decoded.close()
            self._container.close()

    def _resampled(self) -> Generator[np.ndarray, None, None]:
        """Yield (channels, time) blocks at the rate that is given; DSD's is lowered."""
        if self.samplerate == self._rate:
            yield from self._decode()
            return
        stream = soxr.ResampleStream(self._rate, self.samplerate, self.channels, quality="VHQ")
        for block in self._decode():
            yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
        yield stream.resample_chunk(np.zeros((0, self.channels), np.float32), last=True).T

    def _decode(self) -> Generator[np.ndarray, None, None]:
        """Yield (channels, time) blocks, silence where nothing was sent.

        An encoder fills its last packet up. MP4 says how long that is; what is too much is cut off.
        """
        held: np.ndarray = np.zeros((self.channels, 0), np.float32)
        try:
            for frame in self._frames():
                start = None if frame.pts is None else Fraction(frame.pts) * Fraction(frame.time_base or 0)
                start = self._since_origin(start)
                for silence in self._silence(self.timeline.silence_before(start, frame.samples)):
                    yield held
                    held = silence
                yield held
                held = self._samples(frame)
        except (av.FFmpegError, ValueError, Unreadable) as error:
            yield held
            raise Unreadable(str(getattr(error, "strerror", None) or error)) from None
        yield self._trimmed(held)
        yield from self._last_silence()

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Yield decoded frames of one kind."""
        began = False
        self._last_packet: Fraction | None = None
        read_to: int | None = None
        raw = bool(self._names & RAW)
        for packet in self._container.demux(self._stream):
            if packet.pts is not None and packet.duration:
                self._last_packet = Fraction(packet.pts + packet.duration) * Fraction(packet.time_base)
            if raw and packet.size and packet.pos is not None:
                if read_to is not None and packet.pos > read_to + RAW_SLACK:
                    raise Unreadable(f"{packet.pos - read_to:,} bytes there are no sound")
                read_to = packet.pos + packet.size
            # PCM of unknown length ends inside what FFmpeg reads at a time.
            pcm = self.tracks[self.track - 1].codec.startswith("pcm_")
            self.cut = self.cut or (packet.is_corrupt and not pcm and not self._names & BROADCAST)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                if self.cut:
                    return
                # What is cut out of a broadcast begins inside a frame.
                if began or not self._names & (BROADCAST | RAW):
                    raise
                continue
            for frame in frames:
                if (frame.rate, frame.layout.nb_channels) != (self._rate, self.channels):
                    raise Unreadable("its rate or number of channels changes there")
                began = True
                yield frame

    def _samples(self, frame: av.AudioFrame) -> np.ndarray:
        """Convert a frame to (channels, time) float32, in the order of WAV's mask."""
        if not hasattr(self, "_to_float"):
            # Packed: PyAV gives eight planes at most.
            self._to_float = av.AudioResampler(format="flt")
        converted = [part.to_ndarray() for part in self._to_float.resample(frame)]
        packed: np.ndarray = np.concatenate(converted, axis=1) if len(converted) != 1 else converted[0]
        block = packed.reshape(-1, self.channels).T
        return block if self._order is None else block[self._order]

    def _since_origin(self, seconds: Fraction | None) -> Fraction | None:
        """Bring a time to one since the film begins: its first picture, or sound that comes before it."""
        if seconds is None:
            return None
        if self._origin is None:
            self._origin = seconds
            for stream in itertools.chain(self._container.streams.video, self._container.streams.audio):
                moving = not (stream.disposition & av.stream.Disposition.attached_pic)
                if stream is not self._stream and moving and stream.start_time is not None:
                    begins = Fraction(stream.start_time) * Fraction(stream.time_base or 1)
                    self._origin = min(self._origin, begins)
            # A film of which one stream begins an hour after the other was cut together wrongly.
            if seconds - self._origin > 60:
                self._origin = seconds
        return seconds - self._origin

    def _silence(self, samples: int) -> Iterator[np.ndarray]:
        for start in range(0, samples, SILENCE):
            yield np.zeros((self.channels, min(SILENCE, samples - start)), np.float32)

    def _trimmed(self, held: np.ndarray) -> np.ndarray:
        """Cut what the encoder has filled the last frame up with, if the clock counts samples."""
        end = self._since_origin(self._last_packet) if self._origin is not None else None
        if end is None or self._stream.time_base != Fraction(1, self._rate):
            return held
        surplus = self.timeline.position - self.timeline.due(end)
        if surplus > 0:
            held = held[:, : max(0, held.shape[1] - surplus)]
            self.timeline.position -= surplus
        return held

    def _last_silence(self) -> Iterator[np.ndarray]:
        """Yield the silence at the end of a file that is whole and longer than what was sent."""
        if self._end is None or self._origin is None or not self._whole:
            return
        missing = self.timeline.due(self._end - self._origin) - self.timeline.position
        if missing > GAP * self._rate and self._names & {"matroska", "mov"}:
            self.timeline.fill(missing)
            yield from self._silence(missing)
