"""How fast files are restored, end to end and by the network alone, beside the paper's U-Net.

python bench/restoring.py (about 3 minutes on two cores) -> bench/results/restoring.md
"""

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

from overtone import memory, models
from overtone.files import restore_file
from overtone.models import UNet, UNetSettings
from overtone.restoring import MODEL_RATE
from overtone.windows import WINDOW

CUTOFF, MINUTES, ROUNDS = 7200.0, 3, 3


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


@torch.inference_mode()
def alone(net, channels, windows, size=WINDOW):
    """Seconds of audio per second of the network with its STFT, on windows of the size that it gets."""
    samples = torch.randn(channels, size) / 10
    cutoff = torch.full((channels,), CUTOFF)
    net(samples[:, : 1 << 15], cutoff)
    began = time.perf_counter()
    for _ in range(windows):
        net(samples, cutoff)
    return windows * size / MODEL_RATE / (time.perf_counter() - began)


def apart(net, windows):
    """The same for stereo with a thread for each of mid and side, as a restorer runs it."""
    samples = torch.randn(2, WINDOW) / 10
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))

    @torch.inference_mode()
    def run(signal):
        return net(signal[None], torch.tensor([CUTOFF]))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, samples[:, : 1 << 15]))
        began = time.perf_counter()
        for _ in range(windows):
            list(pool.map(run, samples))
    torch.set_num_threads(threads)
    return windows * WINDOW / MODEL_RATE / (time.perf_counter() - began)


def main():
    """Measure all in turns and write the medians."""
    memory.keep_freed()  # as the command does
    shipped, _ = models.default()
    paper = UNet(UNetSettings((64, 128, 256, 512))).eval()
    with tempfile.TemporaryDirectory() as name:
        source, seconds = stereo_file(Path(name))
        rounds = []
        for number in range(ROUNDS):
            report = restore_file(source, Path(name, f"out{number}.flac"))
            rounds.append(
                [
                    report.speed,
                    alone(shipped, 2, 4),
                    apart(shipped, 4),
                    alone(shipped, 1, 4),
                    alone(paper, 2, 1, WINDOW // 8),
                ],
            )
    whole, network, threads, mono, unet = np.median(rounds, axis=0)
    rows = [
        ("`overtone restore`, MP3 to FLAC, stereo, end to end", whole),
        ("the shipped network alone, stereo in one call", network),
        ("the shipped network alone, a thread for mid and one for side", threads),
        ("the shipped network alone, mono", mono),
        ("the paper's U-Net at full width alone, stereo", unet),
    ]
    table = "\n".join(f"| {what} | {speed:.3g} | {speed / unet:.3g} |" for what, speed in rows)
    save(
        "restoring",
        f"""# Speed of restoring

{machine()}

{seconds:.0f} s of stereo music at 44.1 kHz, {torch.get_num_threads()} threads, float32; medians of {ROUNDS}
rounds in turns. End to end is from reading to writing, both passes, the model loaded.

| what | times real time | times the U-Net |
| --- | ---: | ---: |
{table}

End to end runs at {whole / network:.0%} of the speed of the network alone in one call, and at
{whole / threads:.0%} of its speed with a thread for each signal.
""",
    )


if __name__ == "__main__":
    main()
