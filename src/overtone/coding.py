"""Real MP3 and Vorbis coding of training inputs: its holes, its pre-echo, its own low-pass.

It runs on the CPU; `overtone.augment` does the rest on the device.
A coded signal lies on its source to the sample: libsndfile takes out the delay of encoder and decoder
(1,105 samples for MP3) by the tag that LAME writes. At a constant bitrate under 56 kbit/s the tag does
not fit its frame, which is why the low bitrates are average ones.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from overtone.errors import OvertoneError
from overtone.parallel import workers

# The low-passes below are those at this rate.
RATE = 44100


class Coding(NamedTuple):
    """A codec and its setting.

    Attributes:
        format, subtype: libsndfile's names.
        level: its compression level, 0 (best) to 1 (smallest).
        mode: its bitrate mode; None for Vorbis, which has one.
        limit: where the codec's own low-pass begins to fall, in Hz: measured with noise, rounded down.
    """

    format: str
    subtype: str
    level: float
    mode: str | None
    limit: float


def _mp3(kilobits: int, limit: float) -> Coding:
    """MP3 of one channel at an average bitrate; libsndfile's level runs from 320 kbit/s down to 32."""
    return Coding("MP3", "MPEG_LAYER_III", (320 - kilobits) / 288, "AVERAGE", limit)


def _vorbis(quality: int, limit: float) -> Coding:
    """Vorbis at a quality of 0 to 10."""
    return Coding("OGG", "VORBIS", 1 - quality / 10, None, limit)


CODINGS = (
    Coding("MP3", "MPEG_LAYER_III", 0.9, "VARIABLE", 7500),  # LAME's -V 9
    *(_mp3(33, 7900), _mp3(36, 9200)),  # as short of bits as stereo at 48 to 56 kbit/s
    *(_mp3(40, 9000), _mp3(48, 10800), _mp3(56, 15000), _mp3(64, 16400), _mp3(96, 19900), _mp3(128, 19900)),
    *(_vorbis(0, 15100), _vorbis(1, 15800), _vorbis(2, 16500), _vorbis(3, 17200), _vorbis(4, 19200)),
    _vorbis(6, RATE / 2),  # it has none
)


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


def code(
    degraded: Tensor, cutoff: Tensor, whole: Tensor, ends: Tensor, choice: Choice, rate: int, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Put a share of some signals through codecs, each through one drawn for it.

    Behind its low-pass a signal leaves a codec more bits than it needs. Some therefore go in whole and are
    ended by the codec's own; under that there are then the holes that files of few bits have. A signal's
    cutoff becomes the lower of its own and the codec's. The result depends on the arguments alone, whatever
    the number of threads. A segment of 65,536 samples takes 32 ms of one core, mean over the codings: 16 to
    19 in Vorbis, 26 to 52 in MP3.

    Args:
        degraded: (batch, time).
        cutoff: (batch,) in Hz.
        whole: (batch, time), the same before their low-passes.
        ends: (batch,) in Hz: how high a codec may end them that go in whole.
        choice: what is drawn from.
        rate: of the signals, in Hz.
        draws: (4, batch) from 0 to 1: whether a signal is coded, by what, how low its cutoff is told, and
            whether it goes in whole.

    Returns:
        The signals and their cutoffs, where they came from.

    Raises:
        OvertoneError: the rate is not 44,100 Hz.
    """
    if rate != RATE:
        raise OvertoneError(f"train.augment.coded is {choice.share}; it is 0 unless degrade.rate is {RATE}")
    usable = [coding for coding in CODINGS if coding.limit >= choice.lowest]
    made, told = degraded.cpu().clone(), cutoff.cpu().clone()
    sources, highest, numbers = whole.cpu(), ends.tolist(), draws.tolist()

    def make(row: int) -> None:
        _, which, lower, way = (column[row] for column in numbers)
        ending = [coding for coding in usable if coding.limit <= highest[row]]
        is_whole = way < choice.whole and bool(ending)
        codings = ending if is_whole else usable
        coding = codings[int(which * len(codings))]
        limit = coding.limit * (1 - 0.05 * lower)
        made[row] = torch.from_numpy(through((sources if is_whole else made)[row].numpy(), coding))
        told[row] = limit if is_whole else min(limit, float(told[row]))

    with ThreadPoolExecutor(workers()) as pool:
        list(pool.map(make, (draws[0] < choice.share).nonzero()[:, 0].tolist()))
    return made.to(degraded.device), told.to(cutoff.device)


def through(samples: np.ndarray, coding: Coding) -> np.ndarray:
    """Encode and decode (time,) float32 samples at 44.1 kHz; what comes back is aligned to the sample."""
    file = io.BytesIO()
    kind = {"format": coding.format, "subtype": coding.subtype}
    quality = {"compression_level": coding.level, "bitrate_mode": coding.mode}
    with soundfile.SoundFile(file, "w", RATE, 1, **kind, **quality) as encoder:
        encoder.write(samples)
    file.seek(0)
    decoded: np.ndarray = soundfile.read(file, dtype="float32")[0]
    if len(decoded) != len(samples):
        raise OvertoneError(
            f"{coding.subtype} at level {coding.level:.3f} made {len(decoded)} samples of {len(samples)}: "
            "this libsndfile does not take out the codec's delay; set train.augment.coded to 0"
        )
    return decoded
