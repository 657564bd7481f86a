"""Go on training the shipped network on real recordings, voices, MIDI renders and games' music.

    python recipes/continue_training.py OUT real=FOLDER voices=FOLDER midi=FOLDER first=FOLDER train=FOLDER
        [--minutes 62] [--side-minutes 14]

The folders are those that recipes/music.md and recipes/music.sh bring, by kind; a kind may be left out, but
for the recordings. OUT gets ``pool`` (all music as 16-bit samples, 110 MB an hour of stereo, and where each
recording ends), ``log.txt`` and ``model``. It starts from the weights that the package has, so that what they
were must be known to repeat a run: `git log src/overtone/shipped`. Time is measured, not steps, as the
machine is shared: the log says how many there were.

The network for mono and mid comes first, all weights; then the one for the side, which shares the wide
matrices of every block. A fifth of the artists of recordings and of the voices' languages are left out, for
validation, by a hash of their names (`bench/recordings.py` has the same rule). The packages that are kept for
judging and the clips of the bundled test split are left out, too.
"""

import argparse
import csv
import hashlib
import json
import math
import random
import subprocess
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

from overtone.audio.bandwidth import music_end
from overtone.data.dataset.batch import Batch
from overtone.models import registry
from overtone.training import losses
from overtone.training.augment import AugmentSettings, augment

RATE, LENGTH, BATCH = 44100, 65536, 16
# The share of segments by kind; what is missing is left out of the draw.
SHARES = {"real": 0.5, "voices": 0.12, "midi": 0.13, "first": 0.1, "train": 0.15}
# A recording that ends lower has little to teach.
LEAST_END = 13_500
MOST_SECONDS = 300
# Debian packages whose music is kept for judging, and a clip of the bundled test split.
LEFT_OUT = [
    "nexuiz-music",
    "starfighter-data",
    "marsshooter-data",
    "singularity-music",
    "plee-the-bear-data",
    "neverball-common",
    "xmoto-data",
    "extremetuxracer-data",
    "hedgewars-data",
    "trackballs-data",
    "drascula-music",
]
LEFT_OUT_NAME = "palace"
SOUND = {".ogg", ".mp3", ".flac", ".wav", ".opus", ".m4a", ".aif", ".aiff"}
# Low-passes of all kinds, a fifth of the inputs coded, and the music as it is.
AUGMENT = AugmentSettings(
    filters=True,
    kinds=("butterworth", "chebyshev1", "elliptic", "sinc"),
    lowest=3000,
    highest=16000,
    gain_db=24,
    speed=1.0,
    tilt_db=0.0,
    mix=0.0,
    coded=0.2,
    coded_whole=0.2,
)
LOSS = losses.weighted({"lsd": 1.0, "high_band": 0.25, "level": 0.5})
LEARNING_RATE, WARM_UP, LAST_SHARE = 3e-4, 150, 0.02
AVERAGE = 0.999  # of the exponential moving average of the weights, which is what is kept
SHARED = ("wide.weight", "narrow.weight")
# The model's weights are so much of those trained here, the rest of those before. On the held-out artists 0.7
# is nearer than 0 by every measure but the voices' level, up to the end of the music and up to the bandwidth;
# 1 is nearer up to the end, and no nearer up to the bandwidth at 8 kHz.
SHARE = 0.7


def artists(kind):
    """The artist of every file of a kind, as far as the tables in this folder have them."""
    names = {}
    for row in csv.DictReader((Path(__file__).parent / "music_real.csv").open(encoding="utf-8")):
        folder = "__".join(row["source"].rstrip("/").split("/")[-2:])
        names[f"{folder}/{row['path']}"] = row["artist"]
    return names if kind == "real" else {}


def held_out(kind, artist):
    """Whether an artist, or a language, is kept for validation."""
    return kind in ("real", "voices") and int(hashlib.sha1(b"w" + artist.encode()).hexdigest(), 16) % 5 == 0


def prepare(kind, folder, pool):
    """Decode a folder into the pool, once; return its recordings that are trained on."""
    index = pool / f"{kind}.jsonl"
    if not index.exists():
        names, rows = artists(kind), []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            skipped = name.split("/")[0] in LEFT_OUT or LEFT_OUT_NAME in name.lower()
            if path.suffix.lower() not in SOUND or skipped:
                continue
            command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "s16le"]
            raw = subprocess.run(
                [*command, "-ac", "2", "-ar", str(RATE), "-"], capture_output=True, check=False
            )
            samples = np.frombuffer(raw.stdout, np.int16).reshape(-1, 2)[: MOST_SECONDS * RATE]
            if len(samples) < 2 * LENGTH:
                continue
            file = hashlib.sha1(f"{kind}/{name}".encode()).hexdigest()[:16] + ".npy"
            np.save(pool / file, samples)
            artist = path.stem.split("-")[0] if kind == "voices" else names.get(name, name.split("/")[0])
            end = float(music_end(samples.T.astype(np.float32) / 32768, RATE))
            stereo = bool((samples[:, 0] != samples[:, 1]).any())
            rows.append(
                {"file": file, "artist": artist, "end": end, "samples": len(samples), "stereo": stereo}
            )
        index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [json.loads(line) for line in index.open()]
    return [row for row in rows if row["end"] >= LEAST_END and not held_out(kind, row["artist"])]


def draw(rows, pool, chance, side):
    """A segment of a recording and where that ends; None if it is nearly silent."""
    row = chance.choices(rows, [math.sqrt(row["samples"]) for row in rows])[0]
    samples = np.load(pool / row["file"], mmap_mode="r")
    start = chance.randrange(len(samples) - LENGTH)
    left, right = samples[start : start + LENGTH].T.astype(np.float32) / 32768
    which = chance.random()
    mono = (left + right) / 2 if which < 0.7 else left if which < 0.85 else right
    segment = (left - right) / 2 if side else mono
    if np.sqrt((segment**2).mean()) < (0.0005 if side else 0.003):
        return None
    return segment / np.abs(segment).max(), row["end"]


def draw_batches(queue, by_kind, pool, side):
    """Put batches into a queue, for ever."""
    torch.set_num_threads(1)
    chance = random.Random(11)
    if side:
        by_kind = {kind: [row for row in rows if row["stereo"]] for kind, rows in by_kind.items()}
    by_kind = {kind: rows for kind, rows in by_kind.items() if rows}
    shares = [SHARES[kind] for kind in by_kind]
    while True:
        drawn = []
        while len(drawn) < BATCH:
            segment = draw(by_kind[chance.choices(list(by_kind), shares)[0]], pool, chance, side)
            if segment is not None:
                drawn.append(segment)
        original = torch.from_numpy(np.stack([samples for samples, _ in drawn]))
        end = torch.tensor([end for _, end in drawn], dtype=torch.float32)
        batch = Batch(original, original, end, end)
        queue.put(tuple(augment(batch, AUGMENT, RATE, chance.randrange(2**31), side=side)))


def train(net, batches, minutes, log):
    """Train a network for so long; return the average of its weights and the number of steps."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, LEARNING_RATE, (0.9, 0.98), weight_decay=0.0)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    began, step = time.monotonic(), 0
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        degraded, original, cutoff, end = batches.get()
        cosine = LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share))
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * cosine
        with torch.autocast("cpu", dtype=torch.bfloat16):
            estimate = net(degraded, cutoff)
        loss = LOSS(estimate.float(), original, cutoff, end)
        optimiser.zero_grad()
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(weights, 1.0)):
            optimiser.step()
        step += 1
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - min(AVERAGE, step / (step + 10)))
        if step % 100 == 0:
            print(f"step {step}, {share:.1%}: loss {float(loss):.3f}", file=log, flush=True)
    return average, step


def mixed(before, after):
    """The weights between two sets of weights."""
    return {name: before[name].lerp(after[name], SHARE) for name in before}


def train_on(by_kind, pool, side, net, minutes, log):
    """Train with batches that another process draws."""
    context = get_context("fork")
    queue = context.Queue(6)
    drawer = context.Process(target=draw_batches, args=(queue, by_kind, pool, side), daemon=True)
    drawer.start()
    try:
        return train(net.train(), queue, minutes, log)
    finally:
        drawer.terminate()


def main():
    """Prepare the music, train both networks and save them as one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("music", nargs="+", metavar="KIND=FOLDER", help=", ".join(SHARES))
    parser.add_argument("--minutes", type=float, default=62)
    parser.add_argument("--side-minutes", type=float, default=14)
    asked = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    pool = asked.out / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    folders = dict(pair.split("=", 1) for pair in asked.music)
    by_kind = {kind: prepare(kind, Path(folder), pool) for kind, folder in folders.items()}
    net, _ = registry.load(registry.SHIPPED)
    side, net.side = net.side.state_dict(), None
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with (asked.out / "log.txt").open("w", encoding="utf-8") as log:
        mid, steps = train_on(by_kind, pool, False, net, asked.minutes, log)
        net.load_state_dict(mid)
        net.load_state_dict(side | {name: value for name, value in mid.items() if name.endswith(SHARED)})
        for name, weight in net.named_parameters():
            weight.requires_grad_(not name.endswith(SHARED))
        of_side, side_steps = train_on(by_kind, pool, True, net, asked.side_minutes, log)
    net.load_state_dict(mixed(before, mid))
    net.give_side(mixed(side, of_side))
    about = {"steps": steps, "steps of the side": side_steps, "segments a step": BATCH}
    registry.save(net.half(), "spectral", asked.out / "model", about)


if __name__ == "__main__":
    main()
