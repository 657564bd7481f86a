"""How fast files are restored, end to end and by the streams of the network alone, beside the paper's U-Net.

    python bench/restoring.py [--to restoring]

2 to 4 minutes on two cores; writes bench/results/restoring.md, or what --to says.
"""

import argparse
import functools
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from machine import ROOT, machine, save

from overtone.core.rates import MODEL_RATE
from overtone.models import registry
from overtone.models.network import for_side
from overtone.models.processor import fast_in_int8
from overtone.models.saved import SHIPPED, read_model
from overtone.models.spectral_onnx import open_network
from overtone.models.unet import UNet, UNetSettings
from overtone.restoration.restore_file import restore_file
from overtone.restoration.stream.limits import CHUNK

CUTOFF, MINUTES, ROUNDS = 7200.0, 3, 9
CHUNKS = 12  # that the streams alone restore: 71 s


def stereo_file(folder):
    """Three minutes of the bundled music as a stereo MP3 at 44.1 kHz that stops at 8 kHz."""
    with zipfile.ZipFile(ROOT / "data/bundle/fma_mini.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".mp3")][: MINUTES * 2 + 2]
        archive.extractall(folder, names)
    clips = [soundfile.read(folder / name, dtype="float32", always_2d=True) for name in names]
    whole = np.concatenate([x for x, rate in clips if rate == MODEL_RATE and x.shape[1] == 2])
    whole = whole[: MINUTES * 60 * MODEL_RATE]
    limited = soxr.resample(soxr.resample(whole, MODEL_RATE, 16000), 16000, MODEL_RATE)
    soundfile.write(folder / "in.mp3", limited, MODEL_RATE)
    return folder / "in.mp3", len(limited) / MODEL_RATE


def cost(work, seconds):
    """What a call takes per second of audio: seconds on the clock, and of all processors together."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) / seconds, (time.process_time() - used) / seconds


def streams(net, samples):
    """The streams of mid and side alone, a thread for each, as a restorer runs them."""
    nets = (net, for_side(net))

    def run(number):
        stream = nets[number].stream(CUTOFF, max(1, net.threads // 2))
        for start in range(0, samples.shape[1], CHUNK):
            stream(samples[number : number + 1, start : start + CHUNK], start + CHUNK >= samples.shape[1])

    with ThreadPoolExecutor(2) as pool:
        return cost(lambda: list(pool.map(run, range(2))), samples.shape[1] / MODEL_RATE)


@torch.inference_mode()
def alone(net, channels, size):
    """A network in one call."""
    samples = torch.randn(channels, size) / 10
    cutoff = torch.full((channels,), CUTOFF)
    net(samples[:, : 1 << 15], cutoff)
    return cost(lambda: net(samples, cutoff), size / MODEL_RATE)


def more(rounds, row):
    """By how much more end to end takes than another row, in words, by the rounds' ratios."""
    clock, used = (np.array(rounds)[:, 0] / np.array(rounds)[:, row] - 1).T
    return (
        f"{np.median(clock):.0%} more time ({min(clock):.0%} to {max(clock):.0%} by round) and "
        f"{np.median(used):.0%} more processor time ({min(used):.0%} to {max(used):.0%})"
    )


def main():
    """Measure all in turns and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", default="restoring", metavar="NAME", help="bench/results/NAME.md")
    name_of_results = parser.parse_args().to
    saved = read_model(SHIPPED)
    by_bits = {bits: open_network(saved, SHIPPED, bits == 8) for bits in (8, 32)}
    by_torch, _ = registry.load_shipped()
    noise = np.random.default_rng(0).standard_normal((2, CHUNKS * CHUNK), np.float32) / 10
    with tempfile.TemporaryDirectory() as name:
        source, seconds = stereo_file(Path(name))
        rounds = []
        for number in range(ROUNDS):
            target = Path(name, f"out{number}.flac")
            rounds.append(
                [
                    cost(functools.partial(restore_file, source, target), seconds),
                    cost(
                        functools.partial(restore_file, source, target, model=by_torch, force=True), seconds
                    ),
                    *(streams(net, noise) for net in (by_bits[8], by_bits[32], by_torch)),
                ],
            )
    # Last: what its arrays of gigabytes leave free stays with the process.
    paper = UNet(UNetSettings((64, 128, 256, 512))).eval()
    unet = np.median([alone(paper, 2, 1 << 17) for _ in range(ROUNDS)], axis=0)
    medians = [*np.median(rounds, axis=0), unet]
    names = (
        "`overtone restore`, MP3 to FLAC, stereo, end to end",
        "the same by PyTorch",
        "the streams of mid and side alone, ONNX Runtime in 8 bits",
        "the same in float32",
        "the same by PyTorch",
        "the paper's U-Net at full width alone, stereo",
    )
    table = "\n".join(
        f"| {what} | {1 / clock:.3g} | {unet[0] / clock:.3g} | {60 * used:.3g} |"
        for what, (clock, used) in zip(names, medians, strict=True)
    )
    save(
        name_of_results,
        f"""# Speed of restoring

{machine()}

{seconds:.0f} s of stereo music at 44.1 kHz, {torch.get_num_threads()} threads; medians of {ROUNDS} rounds
in turns, the U-Net's after the others. End to end is from reading to writing, both passes, the model
loaded; it runs in {"8 bits" if fast_in_int8() else "float32"} here.

| what | times real time | times the U-Net | processor seconds a minute of audio |
| --- | ---: | ---: | ---: |
{table}

Beside its streams alone, end to end takes {more(rounds, 2 if fast_in_int8() else 3)}.
""",
    )


if __name__ == "__main__":
    main()
