"""Damage sound files at random and read them: each ends in all of its sound, or in one line that says why.

Every format that overtone reads, 0.3 s long, gets wrong bytes in its header or its middle, is cut, joined to
another, or is replaced by noise. What comes out is compared with what FFmpeg decodes of the same bytes: less
than that with no error is a failure, and so is any error but overtone's own.

    python bench/fuzz.py --inputs 10000
"""

import argparse
import collections
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile

from overtone.core.errors import OvertoneError
from overtone.restoration.files.decode import open_sound

RATE, SECONDS = 44100, 0.3
# Seconds by which a decoder may give less than another: the delay and the filling of a codec, and the frame
# or two at a cut.
TOLERANCE = 0.06
# By libsndfile: name, format, subtype; by FFmpeg: name, codec.
BY_SNDFILE = (
    *(
        ("a.wav", "WAV", "PCM_16"),
        ("b.wav", "WAV", "FLOAT"),
        ("c.wav", "WAVEX", "PCM_24"),
        ("d.wav", "RF64", None),
    ),
    *(
        ("a.flac", "FLAC", None),
        ("a.mp3", "MP3", None),
        ("a.ogg", "OGG", "VORBIS"),
        ("a.opus", "OGG", "OPUS"),
    ),
    *(("a.aiff", "AIFF", None), ("a.au", "AU", None), ("a.caf", "CAF", None), ("a.w64", "W64", None)),
)
BY_FFMPEG = (
    *(
        ("a.m4a", "aac"),
        ("b.m4a", "alac"),
        ("a.aac", "aac"),
        ("a.wma", "wmav2"),
        ("a.ac3", "ac3"),
        ("a.mka", "flac"),
    ),
    *(
        ("a.webm", "libopus"),
        ("a.wv", "wavpack"),
        ("a.tta", "tta"),
        ("b.mp3", "libmp3lame"),
        ("a.mp2", "mp2"),
    ),
    *(("a.ts", "aac"), ("a.mpg", "mp2"), ("a.flv", "aac"), ("a.avi", "libmp3lame"), ("b.oga", "flac")),
)


class Input(NamedTuple):
    """Bytes to be read, what was done to them, and the seconds of sound that they can hold at most."""

    name: str
    data: bytes
    most: float = SECONDS


def formats(folder: Path) -> list[Input]:
    """Write a short file of every format, and return their bytes."""
    rng = np.random.default_rng(1)
    music = 0.1 * np.cumsum(rng.normal(0, 0.05, (int(SECONDS * RATE), 2)), axis=0).clip(-1, 1)
    found = []
    for name, kind, subtype in BY_SNDFILE:
        rate = 48000 if subtype == "OPUS" else RATE
        soundfile.write(folder / name, music, rate, subtype, format=kind)
        found.append(Input(name, (folder / name).read_bytes()))
    for name, codec in BY_FFMPEG:
        rate = 48000 if name in ("a.webm", "a.mpg", "a.flv") else RATE
        _encode(folder / name, music, rate if name != "a.flv" else RATE, codec)
        found.append(Input(name, (folder / name).read_bytes()))
    return found


def _encode(path: Path, music: np.ndarray, rate: int, codec: str) -> None:
    """Write (time, 2) samples by FFmpeg; MP3 without the header that counts its frames."""
    options = {"write_xing": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        able = [form.name for form in av.Codec(codec, "w").audio_formats or ()]
        wanted = next(form for form in ("s16", "s16p", "flt", "fltp") if form in able)
        stream.bit_rate, stream.codec_context.format = 192_000, wanted
        convert = av.AudioResampler(
            wanted, "stereo", rate, frame_size=stream.codec_context.frame_size or 4096
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(music.T, np.float32), "fltp", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(part))


def damaged(base: list[Input], count: int, seed: int) -> Iterator[Input]:
    """Yield damaged inputs, the same for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        name, data, most = base[rng.integers(len(base))]
        kind = rng.choice(
            ["header", "cut", "joined", "noise", "zeros", "flipped", "missing", "behind", "random"]
        )
        size, other = len(data), base[rng.integers(len(base))]
        first, last = sorted(rng.integers(0, size, 2).tolist())
        if kind == "header":
            changed = bytearray(data)
            for place in rng.integers(0, min(size, 120), rng.integers(1, 5)):
                changed[place] = rng.integers(256)
            data, most = bytes(changed), np.inf
        elif kind == "cut":
            data = data[: max(1, last)]
        elif kind == "joined":
            same = rng.random() < 0.6
            data, most = data + (data if same else other.data), 2 * SECONDS
            name = f"{name}+{name if same else other.name}"
        elif kind in ("noise", "zeros"):
            filling = rng.bytes(last - first) if kind == "noise" else bytes(last - first)
            data = data[:first] + filling + data[last:]
        elif kind == "flipped":
            changed = bytearray(data)
            changed[first] ^= 1 << int(rng.integers(8))
            data = bytes(changed)
        elif kind == "missing":
            data = data[:first] + data[last:]
        elif kind == "behind":
            data = bytes(int(rng.integers(1, 9000))) + data
        else:
            data = rng.bytes(size)
        yield Input(f"{kind} {name}", data or b"\0", most)


def decoded_seconds(path: Path) -> float | None:
    """Read a file; return the seconds of its sound, or None if a line says why it is not read.

    Raises:
        Exception: any other than overtone's own is a fault.
    """
    try:
        with open_sound(path) as file:
            return sum(block.shape[1] for block in file.blocks()) / file.samplerate
    except OvertoneError as error:
        if "\n" in str(error):
            raise ValueError(f"{error} has more than one line") from None
        return None


def ffmpeg_seconds(path: Path) -> float:
    """Decode all that FFmpeg finds in a file, passing over what it cannot; 0 if that is nothing."""
    seconds = 0.0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            for packet in container.demux(stream):
                try:
                    seconds += sum(frame.samples / frame.rate for frame in packet.decode() if frame.rate)
                except av.FFmpegError:
                    continue
    except (av.FFmpegError, ValueError, IndexError, OSError):
        pass
    return seconds


def fault(path: Path, most: float) -> str:
    """Read a file of so many seconds at most; say what is wrong with how that ended, empty if nothing."""
    try:
        seconds = decoded_seconds(path)
    except Exception as error:  # all but overtone's own is what is looked for
        return f"{type(error).__name__}: {error}"
    if seconds is None:
        return ""
    # FFmpeg makes seconds of sound out of damaged frames.
    expected = min(ffmpeg_seconds(path), most)
    return f"{seconds:.3f} s of {expected:.3f} s" if seconds + TOLERANCE < expected else ""


def main() -> None:
    """Read so many damaged inputs, keep those that fail, and print what failed."""
    parser = argparse.ArgumentParser(description="Read damaged sound files.")
    parser.add_argument("--inputs", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for inputs that fail")
    args = parser.parse_args()
    failed: collections.Counter[str] = collections.Counter()
    av.logging.set_level(None)
    with tempfile.TemporaryDirectory() as folder:
        base = formats(Path(folder))
        for number, (name, data, most) in enumerate(damaged(base, args.inputs, args.seed)):
            path = Path(folder, "input")
            path.write_bytes(data)
            if said := fault(path, most):
                failed[name.split()[0]] += 1
                print(f"{number} {name}: {said}", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{number}-{name.replace(' ', '-')}").write_bytes(data)
    print(f"{args.inputs} inputs, {sum(failed.values())} failed", dict(failed))


if __name__ == "__main__":
    main()
