"""Damage sound files at random and restore them: each ends in a file as long as its sound, or in one line.

Every format that overtone reads, 0.3 s long and with tags, gets wrong bytes in its header or its middle, is
cut, joined to another, or is replaced by noise. `restore_file` restores it by a tiny network, to each of its
four formats in turn, half of the time with a cutoff that is given. The length of the written file is compared
with what FFmpeg decodes of the same bytes: a shorter file with no error is a failure, and so is any error but
overtone's own, a line break in that, or a file that is left behind by it.

    python bench/fuzz.py --inputs 10000

The result goes to bench/results/fuzz.md.
"""

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
import soxr
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import machine
from overtone.core.errors import OvertoneError
from overtone.models.registry import Network
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.restoration.files.encode import FORMATS
from overtone.restoration.restore_file import restore_file

RATE, SECONDS, CUTOFF = 44100, 0.3, 7000
# Of sound: a film is written of a film alone.
TARGETS = tuple(FORMATS)
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
    *(
        ("a.voc", "pcm_s16le"),
        ("a.mov", "pcm_s16le"),
        ("a.mp4", "alac"),
        ("a.mkv", "aac"),
        ("a.eac3", "eac3"),
    ),
)


class Input(NamedTuple):
    """Bytes to be read, what was done to them, and the seconds of sound that they can hold at most."""

    name: str
    data: bytes
    most: float = SECONDS


class Ending(NamedTuple):
    """Describe how the restoration of an input ended.

    Attributes:
        kind: ``restored``, ``refused`` (with overtone's own line), or ``failed``.
        reason: of a failure.
        added: whether a band was added to a restored file.
    """

    kind: str
    reason: str = ""
    added: bool = False


def music() -> np.ndarray:
    """Return stereo noise that ends at 7 kHz, as (time, 2) samples at RATE."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, (int(SECONDS * 2 * CUTOFF), 2))
    return np.asarray(soxr.resample(noise, 2 * CUTOFF, RATE, quality="VHQ")).clip(-1, 1)


def formats(folder: Path) -> list[Input]:
    """Write a short file of every format, and return their bytes."""
    samples, found = music(), []
    for name, kind, subtype in BY_SNDFILE:
        rate = 48000 if subtype == "OPUS" else RATE
        with soundfile.SoundFile(folder / name, "w", rate, 2, subtype, format=kind) as file:
            if kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
                file.title, file.artist = "A title", "An artist"
            file.write(samples)
        found.append(Input(name, (folder / name).read_bytes()))
    for name, codec in BY_FFMPEG:
        rate = 48000 if name in ("a.webm", "a.mpg") else RATE
        _encode(folder / name, samples, rate, codec)
        found.append(Input(name, (folder / name).read_bytes()))
    return found


def _encode(path: Path, samples: np.ndarray, rate: int, codec: str) -> None:
    """Write (time, 2) samples by FFmpeg; MP3 without the header that counts its frames."""
    options = {"write_xing": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update({"title": "A title", "artist": "An artist"})
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        able = [form.name for form in av.Codec(codec, "w").audio_formats or ()]
        wanted = next(form for form in ("s16", "s16p", "flt", "fltp") if form in able)
        stream.bit_rate, stream.codec_context.format = 192_000, wanted
        convert = av.AudioResampler(
            wanted, "stereo", rate, frame_size=stream.codec_context.frame_size or 4096
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), "fltp", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for packet in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(packet))


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
            for at in rng.integers(0, min(size, 120), rng.integers(1, 5)):
                changed[at] = rng.integers(256)
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


def tiny_network() -> Network:
    """Return a network that is too small to be good, and takes next to no time."""
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()


def restore(path: Path, target: Path, most: float, net: Network, cutoff: float | None) -> Ending:
    """Restore a damaged file, and compare the length of what is written with what FFmpeg decodes.

    Args:
        path: the file.
        target: does not exist, before and after.
        most: seconds of sound that it can hold: FFmpeg gives more, of damaged frames.
        net: the network.
        cutoff: in Hz; if None, it is measured, most often with too little confidence to add a band.
    """
    try:
        report = restore_file(path, target, cutoff=cutoff, model=net, device="cpu", bits=16)
        written = soundfile.info(target)
    except OvertoneError as error:
        broken = "\n" in str(error) or not str(error)
        left = [other.name for other in target.parent.iterdir() if other != path]
        reason = f"{error} has more than one line" if broken else f"{left} left behind" if left else ""
        return Ending("failed" if reason else "refused", reason)
    except Exception as error:  # all but overtone's own is what is looked for
        return Ending("failed", f"{type(error).__name__}: {error}")
    finally:
        target.unlink(missing_ok=True)
    seconds, expected = written.frames / written.samplerate, min(ffmpeg_seconds(path), most)
    if seconds + TOLERANCE < expected:
        return Ending("failed", f"{seconds:.3f} s written of {expected:.3f} s")
    return Ending("restored", "", report.added)


def run(base: list[Input], count: int, seed: int, folder: Path) -> Iterator[tuple[Input, Ending]]:
    """Restore so many damaged inputs in an empty folder; yield each with how it ended."""
    folder.mkdir()
    path, net = folder / "input", tiny_network()
    for number, damaged_input in enumerate(damaged(base, count, seed)):
        path.write_bytes(damaged_input.data)
        target = folder / f"restored{TARGETS[number % len(TARGETS)]}"
        cutoff = CUTOFF if number // len(TARGETS) % 2 else None
        yield damaged_input, restore(path, target, damaged_input.most, net, cutoff)


def table(endings: dict[str, collections.Counter[str]]) -> str:
    """Format how inputs ended, a row for each kind of damage."""
    columns = ("restored", "with a band added", "refused", "failed")
    lines = [f"| damage | {' | '.join(columns)} |", "| --- | ---: | ---: | ---: | ---: |"]
    total = sum(endings.values(), collections.Counter[str]())
    for name, counts in [*sorted(endings.items()), ("**all**", total)]:
        lines.append(f"| {name} | {' | '.join(f'{counts[column]:,}' for column in columns)} |")
    return "\n".join(lines)


def result(command: str, minutes: float, count: int, endings: dict[str, collections.Counter[str]]) -> str:
    """Format the result of a command as Markdown: inputs of so many formats, and how they ended."""
    return f"""# Damaged files, restored

{machine.machine()}

`{command}`, {minutes:.0f} minutes: {count} formats, {SECONDS} s each, damaged at random.
*Restored*: the written file is not shorter than what FFmpeg decodes of the same bytes, less
{1000 * TOLERANCE:.0f} ms for a codec's delay and the frame at a cut.
*Refused*: one line, and nothing is left behind.

{table(endings)}
"""


def main() -> None:
    """Restore so many damaged inputs, keep those that fail, and write how all ended."""
    parser = argparse.ArgumentParser(description="Restore damaged sound files.")
    parser.add_argument("--inputs", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for inputs that fail")
    asked = parser.parse_args()
    endings: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    av.logging.set_level(None)
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        base = formats(Path(folder))
        inputs = run(base, asked.inputs, asked.seed, Path(folder, "inputs"))
        for number, (damaged_input, ending) in enumerate(inputs):
            name = damaged_input.name
            endings[name.split()[0]][ending.kind] += 1
            endings[name.split()[0]]["with a band added"] += ending.added
            if ending.kind == "failed":
                print(f"{number} {name}: {ending.reason}", flush=True)
                if asked.keep:
                    asked.keep.mkdir(parents=True, exist_ok=True)
                    (asked.keep / f"{number}-{name.replace(' ', '-')}").write_bytes(damaged_input.data)
    minutes = (time.monotonic() - began) / 60
    command = f"python bench/fuzz.py --inputs {asked.inputs} --seed {asked.seed}"
    machine.save("fuzz", result(command, minutes, len(base), endings))
    if any(counts["failed"] for counts in endings.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
