"""Films of a few seconds with clicks in their sound, and measures of what a copy of them holds."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import soxr

SECONDS = 2
# Seconds of the sound at which it clicks.
CLICKS = (0.6, 1.4)


@dataclass(frozen=True)
class Sound:
    """A sound track: its encoder, and the seconds after the first picture at which it begins."""

    codec: str
    language: str
    offset: float = 0.0
    rate: int = 48000
    channels: int = 2
    skipped: tuple[int, ...] = ()
    """Numbers of the packets that are left out."""


def music(rate, channels, seed):
    """Noise and two clicks up to 6 kHz, (channels, time)."""
    low = np.random.default_rng(seed).normal(0, 0.02, (SECONDS * 12000, channels))
    for seconds in CLICKS:
        low[round(seconds * 12000)] += 0.9
    return np.ascontiguousarray(soxr.resample(low, 12000, rate)[: SECONDS * rate].T, np.float32)


def write_film(path, sounds, codec="mpeg4", subtitles=None, variable=False, chapters=(), attached=()):
    """Write a film of moving noise with sounds; FFmpeg takes the container from the name.

    Args:
        path: the film.
        sounds: tracks of sound.
        codec: of the pictures.
        subtitles: codec of two lines of text; None for none.
        variable: whether pictures come at odd times.
        chapters: titles, a second each.
        attached: names of files that are attached.
    """
    with av.open(str(path), "w", container_options={"movie_timescale": "48000"}) as film:
        film.metadata["title"] = "A film"
        pictures = film.add_stream(codec, rate=25)
        pictures.width = pictures.height = 32
        pictures.codec_context.max_b_frames = 2 if codec == "mpeg4" else 0
        tracks = [_add_sound(film, sound) for sound in sounds]
        text = film.add_mux_stream(subtitles) if subtitles else None
        if text is not None:
            text.time_base, text.metadata["language"] = Fraction(1, 1000), "deu"
        for name in attached:
            film.add_attachment(name, "text/plain", b"attached")
        film.set_chapters(
            [
                {
                    "id": number,
                    "start": number,
                    "end": number + 1,
                    "time_base": Fraction(1),
                    "metadata": {"title": title},
                }
                for number, title in enumerate(chapters, 1)
            ]
        )
        packets = [*_pictures(pictures, variable)]
        for number, (sound, track) in enumerate(zip(sounds, tracks, strict=True)):
            packets += _encoded(track, sound, number)
        if text is not None:
            packets += _lines(text, subtitles)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            film.mux(packet)
    return path


def _add_sound(film, sound):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.channels]
    track = film.add_stream(sound.codec, rate=sound.rate, layout=layout)
    track.bit_rate, track.metadata["language"] = 256_000, sound.language
    return track


def _pictures(stream, variable):
    rng = np.random.default_rng(1)
    stream.codec_context.time_base = Fraction(1, 1000)
    for number in range(25 * SECONDS):
        frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (32, 32, 3), np.uint8))
        frame.time_base = Fraction(1, 1000)
        frame.pts = 40 * number + (number % 3 * 7 if variable else 0)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encoded(stream, sound, seed):
    form = stream.codec_context.format.name
    frame = av.AudioFrame.from_ndarray(music(sound.rate, sound.channels, seed), "fltp", stream.layout.name)
    frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
    frame.pts = 0
    convert = av.AudioResampler(form, stream.layout.name, sound.rate)
    packets = []
    for piece in convert.resample(frame):
        piece.pts, piece.time_base = round(sound.offset * sound.rate), Fraction(1, sound.rate)
        packets += stream.encode(piece)
    packets += stream.encode(None)
    return [packet for number, packet in enumerate(packets) if number not in sound.skipped]


def _lines(stream, codec):
    for start, line in ((500, b"first"), (1500, b"second")):
        packet = av.Packet(len(line).to_bytes(2, "big") + line if codec == "mov_text" else line)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 800
        yield packet


def packets(path):
    """List every track's packets: bytes, and timestamps in seconds from the first picture."""
    found = {}
    with av.open(str(path)) as film:
        for packet in film.demux():
            if packet.size and packet.stream.type != "data":
                time = None if packet.pts is None else packet.pts * packet.time_base
                found.setdefault(packet.stream.index, []).append((bytes(packet), time, packet.is_keyframe))
    first = min(time for _, time, _ in found[0])
    return {
        index: [(data, None if time is None else time - first, key) for data, time, key in track]
        for index, track in found.items()
    }


def placed(path, track=0, rate=None):
    """Decode a track: samples (channels, time) from the first picture on, by the timestamps of frames."""
    with av.open(str(path)) as film:
        first = min(
            frame.pts * frame.time_base
            for frame in film.decode(film.streams.video[0])
            if frame.pts is not None
        )
    with av.open(str(path)) as film:
        stream = film.streams.audio[track]
        line = np.zeros((stream.channels, (SECONDS + 1) * stream.rate), np.float32)
        convert, next_sample = av.AudioResampler("fltp"), None
        for frame in film.decode(stream):
            due = round((frame.pts * frame.time_base - first) * stream.rate)
            # A clock that ticks in milliseconds does not count samples.
            if next_sample is None or abs(due - next_sample) > stream.rate / 500:
                next_sample = due
            for piece in convert.resample(frame):
                block = piece.to_ndarray()
                begin = max(0, -next_sample)
                line[:, next_sample + begin : next_sample + block.shape[1]] = block[:, begin:]
                next_sample += block.shape[1]
        own = stream.rate
    return line if rate in (None, own) else soxr.resample(line.T, own, rate).T


def lag(before, after):
    """Samples by which a signal is late, to a tenth: the peak of the cross-correlation, by a parabola."""
    length = min(before.shape[1], after.shape[1])
    spectra = [np.fft.rfft(x[0, :length].astype(float), 2 * length) for x in (before, after)]
    correlation = np.fft.irfft(spectra[0].conj() * spectra[1])
    top = int(correlation.argmax())
    left, middle, right = (correlation[(top + step) % len(correlation)] for step in (-1, 0, 1))
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return (top + shift + length) % len(correlation) - length


def clicks(samples, rate, offset=0.0, highest=4000):
    """Samples at which it clicks, below a frequency in Hz: what is added above sharpens a click."""
    spectrum = np.fft.rfft(samples[0].astype(float))
    spectrum[np.fft.rfftfreq(samples.shape[1], 1 / rate) > highest] = 0
    low = np.abs(np.fft.irfft(spectrum, samples.shape[1]))
    found = []
    for seconds in CLICKS:
        begin = round((seconds + offset - 0.2) * rate)
        found.append(begin + int(low[begin : begin + round(0.4 * rate)].argmax()))
    return found
