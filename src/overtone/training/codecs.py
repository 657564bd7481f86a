"""Real MP3 and Vorbis coding of training inputs: its holes, its pre-echo, its own low-pass.

It runs on the CPU; `overtone.training.augment` does the rest on the device. Files of few bits have a lower
rate, or few bits for theirs: both are here. In stereo it is the side that gets few. A coded signal lies on
its source to the sample: libsndfile takes out the delay of encoder and decoder (1,105 samples for MP3) by the
tag that LAME writes. At a constant bitrate under 56 kbit/s the tag does not fit its frame, which is why the
low bitrates are average ones.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from scipy import signal
from torch import Tensor

from overtone.core.errors import OvertoneError
from overtone.core.parallel import worker_count
from overtone.core.rates import MODEL_RATE as RATE

# Of the signals that are coded.
# Signals go in up to this factor faster or slower, and come back by it: codecs then end them anywhere, and no
# cutoff is told mostly behind codecs.
FASTER = 1.25
# Samples that are written at a time: libsndfile crashes on a minute of Vorbis.
PIECE = 1 << 16
# In kbit/s: what libsndfile's levels 0 and 1 mean for MP3 at a rate of so many Hz or more.
BITRATES = {32000: (320, 32), 16000: (160, 8), 8000: (64, 8)}


class Codec(NamedTuple):
    """A codec and its setting.

    Attributes:
        format, subtype: libsndfile's names.
        rate: of the coded file, in Hz.
        level: its compression level, 0 (best) to 1 (smallest).
        mode: its bitrate mode; None for Vorbis, which has one.
        limit: where the codec's own low-pass begins to fall, in Hz: the highest tone, in steps of 100, that
            comes out no more than 3 dB softer. (What is left of noise ends lower where bits are short.)
    """

    format: str
    subtype: str
    rate: int
    level: float
    mode: str | None
    limit: float


def mp3_level(rate: int, kilobits: int) -> float:
    """libsndfile's compression level for MP3 of so many kbit/s at a rate in Hz."""
    most, least = next(ends for lowest, ends in BITRATES.items() if rate >= lowest)
    return (most - kilobits) / (most - least)


def _mp3(rate: int, kilobits: int, limit: float) -> Codec:
    """MP3 at an average bitrate, of all channels together."""
    return Codec("MP3", "MPEG_LAYER_III", rate, mp3_level(rate, kilobits), "AVERAGE", limit)


def _vorbis(quality: int, limit: float) -> Codec:
    """Vorbis at a quality of 0 to 10."""
    return Codec("OGG", "VORBIS", RATE, 1 - quality / 10, None, limit)


# What is low-passed before goes through these.
CODECS = (
    Codec("MP3", "MPEG_LAYER_III", RATE, 0.9, "VARIABLE", 7500),  # LAME's -V 9
    *(_mp3(RATE, 40, 10300), _mp3(RATE, 48, 11000), _mp3(RATE, 56, 15100), _mp3(RATE, 64, 16500)),
    *(_mp3(RATE, 96, 19900), _mp3(RATE, 128, 19900)),
    *(_vorbis(0, 15100), _vorbis(1, 15800), _vorbis(2, 16500), _vorbis(3, 17200), _vorbis(4, 19200)),
    _vorbis(6, RATE / 2),  # it has none
)
# Short of bits even for what they let through: of music that goes in whole, 12 to 42 % of the bins in the
# octave below their limit lose 20 dB and more. Stereo at 40 to 64 kbit/s does as badly.
LOW_BITRATE_CODECS = (
    *(_mp3(11025, 12, 4900), _mp3(11025, 16, 4900), _mp3(16000, 16, 5500), _mp3(16000, 20, 5700)),
    *(_mp3(22050, 16, 5500), _mp3(24000, 16, 5600), _mp3(24000, 20, 6000), _mp3(24000, 24, 6000)),
    *(_mp3(32000, 36, 10400), _mp3(RATE, 33, 8200), _mp3(RATE, 36, 10300), _mp3(RATE, 40, 10300)),
)

# The same of stereo, for its side, which shares the bits with mid.
STEREO_CODECS = (
    *(_mp3(16000, 24, 3900), _mp3(16000, 32, 5500), _mp3(22050, 32, 5400), _mp3(22050, 40, 6800)),
    *(_mp3(24000, 32, 5500), _mp3(24000, 40, 7000), _mp3(32000, 48, 7400), _mp3(32000, 64, 11000)),
    *(_mp3(RATE, 40, 6800), _mp3(RATE, 48, 7500), _mp3(RATE, 56, 10200), _mp3(RATE, 64, 10900)),
    *(_mp3(RATE, 80, 13000), _mp3(RATE, 96, 15100), _mp3(RATE, 112, 15100)),
)
# Up to this much louder than side mid is, in dB; in music it is 10 in the mean.
LOUDER = 20.0


class Choice(NamedTuple):
    """What signals are put through codecs.

    Attributes:
        share: of the signals, 0 to 1.
        whole: of those, the share that goes in without a low-pass.
        lowest: in Hz; codecs that end sound under it are not used.
    """

    share: float
    whole: float
    lowest: float


def apply_codecs(
    degraded: Tensor,
    cutoff: Tensor,
    whole: Tensor,
    ends: Tensor,
    choice: Choice,
    rate: int,
    draws: Tensor,
    mids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Put a share of some signals through codecs, each through one drawn for it.

    Behind its low-pass a signal leaves a codec more bits than it needs. Some therefore go in whole and are
    ended by the codec's own; under that there are then the holes that files of few bits have. A signal's
    cutoff becomes the lower of its own and the codec's, which moves with the speed at which it goes in. Where
    all codecs end under the lowest cutoff, a signal stays as it is. The result depends on the arguments
    alone, whatever the number of threads. A segment of 65,536 samples takes 24 ms of one core, mean over the
    codings: 12 to 14 in Vorbis, 11 to 41 in MP3.

    Args:
        degraded: (batch, time).
        cutoff: (batch,) in Hz.
        whole: (batch, time), the same before their low-passes.
        ends: (batch,) in Hz: how high a codec may end them that go in whole.
        choice: what is drawn from.
        rate: of the signals, in Hz.
        draws: (6, batch) from 0 to 1: whether a signal is coded, by what, how low its cutoff is told, whether
            it goes in whole, how fast, and how much louder mid is.
        mids: (batch, time), where the signals are sides of stereo: those that go in whole do so with these as
            mid, brought to 0 to 20 dB over them.

    Returns:
        The signals and their cutoffs, where they came from.

    Raises:
        OvertoneError: the rate is not 44,100 Hz.
    """
    if rate != RATE:
        raise OvertoneError(f"train.augment.coded is {choice.share}; it is 0 unless degrade.rate is {RATE}")
    made, told = degraded.cpu().clone(), cutoff.cpu().clone()
    sources, highest, numbers = whole.cpu(), ends.tolist(), draws.tolist()
    short = LOW_BITRATE_CODECS if mids is None else STEREO_CODECS
    mids = None if mids is None else mids.cpu()

    def make(row: int) -> None:
        _, which, lower, way, pace, louder = (column[row] for column in numbers)
        faster = FASTER ** (2 * pace - 1)
        # Played faster, what ends at the codec's limit was as much lower.
        lowest, end = faster * choice.lowest, faster * highest[row]
        ending = [coding for coding in short if lowest <= coding.limit <= end]
        is_whole = way < choice.whole and bool(ending)
        codings = ending if is_whole else [coding for coding in CODECS if coding.limit >= lowest]
        if not codings:
            return
        coding = codings[int(which * len(codings))]
        limit = coding.limit / faster * (1 - 0.05 * lower)
        source = (sources if is_whole else made)[row].numpy()
        if is_whole and mids is not None:
            mid = mids[row].numpy()
            gain = 10 ** (LOUDER / 20 * louder) * source.std() / max(mid.std(), 1e-9)
            coded = encode_decode_side(source, mid * np.float32(gain), coding, faster)
        else:
            coded = encode_decode(source, coding, faster)
        made[row] = torch.from_numpy(coded)
        told[row] = limit if is_whole else min(limit, float(told[row]))

    with ThreadPoolExecutor(worker_count()) as pool:
        list(pool.map(make, (draws[0] < choice.share).nonzero()[:, 0].tolist()))
    return made.to(degraded.device), told.to(cutoff.device)


def encode_decode(samples: np.ndarray, coding: Codec, faster: float = 1.0) -> np.ndarray:
    """Encode and decode (time,) or (time, 2) float32 samples at 44.1 kHz, played faster by a factor for it.

    What comes back is aligned to the sample.
    """
    # By the transform of the whole, which brings every sample back to its place.
    count = round(len(samples) * coding.rate / RATE / faster)
    sent = signal.resample(samples, count) if count != len(samples) else samples
    kind = {"format": coding.format, "subtype": coding.subtype}
    decoded = round_trip(sent, coding.rate, **kind, compression_level=coding.level, bitrate_mode=coding.mode)
    if len(decoded) != count:
        raise OvertoneError(
            f"{coding.subtype} at level {coding.level:.3f} made {len(decoded)} samples of {count}: "
            "this libsndfile does not take out the codec's delay; set train.augment.coded to 0"
        )
    if count != len(samples):
        decoded = signal.resample(decoded, len(samples))
    return decoded


def encode_decode_side(side: np.ndarray, mid: np.ndarray, coding: Codec, faster: float) -> np.ndarray:
    """What comes back of (time,) samples that go `through` a codec as the side of stereo with this mid."""
    both = np.stack([mid + side, mid - side], axis=1)
    # Beyond full scale it would be clipped.
    loudest = max(np.float32(1), np.abs(both).max())
    left, right = encode_decode(both / loudest, coding, faster).T
    made: np.ndarray = (left - right) * (loudest / 2)
    return made


def round_trip(samples: np.ndarray, rate: int, **kind: str | float | None) -> np.ndarray:
    """What a file gives back that (time,) or (time, channels) samples are written to: float32, shaped alike.

    Lossy formats may give a few samples more or less.

    Args:
        samples: float32; the file is written to memory.
        rate: of the file, in Hz.
        kind: ``format``, ``subtype``, ``compression_level``, ``bitrate_mode``, as soundfile takes them.
    """
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples[:1].size, **kind) as encoder:
        for at in range(0, len(samples), PIECE):
            encoder.write(samples[at : at + PIECE])
    file.seek(0)
    decoded: np.ndarray = soundfile.read(file, dtype="float32", always_2d=samples.ndim == 2)[0]
    return decoded
