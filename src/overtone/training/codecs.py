"""Code training inputs in real MP3 and Vorbis: with holes, pre-echo and the codec's own low-pass.

Codecs run on the CPU, the rest of the augmentation (`overtone.training.augment`) on the device. Files of few
bits have a lower rate, or few bits for theirs; both kinds are used. In stereo, the side gets few bits. A
coded signal is aligned with its source to the sample: libsndfile takes out the delay of encoder and decoder
(1,105 samples for MP3) by the tag that LAME writes. At a constant bitrate under 56 kbit/s the tag does not
fit its frame, which is why the low bitrates are average ones.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import scipy
import soundfile
import torch
from torch import Tensor

from overtone.core.errors import OvertoneError
from overtone.core.parallel import worker_count
from overtone.core.rates import MODEL_RATE as RATE

# Signals are coded up to this factor faster or slower, and brought back after: so limits of codecs lie
# anywhere, and no cutoff is typical of coded signals.
FASTER = 1.25
# Samples that are written at a time: libsndfile crashes on a minute of Vorbis.
WRITE_SAMPLES = 1 << 16
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
            is attenuated by no more than 3 dB. (Noise ends lower where bits are short.)
    """

    format: str
    subtype: str
    rate: int
    level: float
    mode: str | None
    limit: float


def mp3_level(rate: int, kilobits: int) -> float:
    """Return libsndfile's compression level for MP3 of so many kbit/s at a rate in Hz."""
    most, least = next(ends for lowest, ends in BITRATES.items() if rate >= lowest)
    return (most - kilobits) / (most - least)


def _mp3(rate: int, kilobits: int, limit: float) -> Codec:
    """Return MP3 at an average bitrate, of all channels together."""
    return Codec("MP3", "MPEG_LAYER_III", rate, mp3_level(rate, kilobits), "AVERAGE", limit)


def _vorbis(quality: int, limit: float) -> Codec:
    """Return Vorbis at a quality of 0 to 10."""
    return Codec("OGG", "VORBIS", RATE, 1 - quality / 10, None, limit)


# For signals behind a low-pass.
CODECS = (
    Codec("MP3", "MPEG_LAYER_III", RATE, 0.9, "VARIABLE", 7500),  # LAME's -V 9
    *(
        _mp3(RATE, 40, 10300),
        _mp3(RATE, 48, 11000),
        _mp3(RATE, 56, 15100),
        _mp3(RATE, 64, 16500),
    ),
    *(_mp3(RATE, 96, 19900), _mp3(RATE, 128, 19900)),
    *(_vorbis(0, 15100), _vorbis(1, 15800), _vorbis(2, 16500), _vorbis(3, 17200), _vorbis(4, 19200)),
    _vorbis(6, RATE / 2),  # it has none
)
# For signals without one. Short of bits even below their limit: of full-band music, 12 to 42 % of the bins in
# the octave below their limit lose 20 dB and more. Stereo at 40 to 64 kbit/s does as badly.
LOW_BITRATE_CODECS = (
    *(_mp3(11025, 12, 4900), _mp3(11025, 16, 4900), _mp3(16000, 16, 5500), _mp3(16000, 20, 5700)),
    *(_mp3(22050, 16, 5500), _mp3(24000, 16, 5600), _mp3(24000, 20, 6000), _mp3(24000, 24, 6000)),
    *(
        _mp3(32000, 36, 10400),
        _mp3(RATE, 33, 8200),
        _mp3(RATE, 36, 10300),
        _mp3(RATE, 40, 10300),
    ),
)

# The same for the side of stereo, which shares the bits with mid.
STEREO_CODECS = (
    *(_mp3(16000, 24, 3900), _mp3(16000, 32, 5500), _mp3(22050, 32, 5400), _mp3(22050, 40, 6800)),
    *(_mp3(24000, 32, 5500), _mp3(24000, 40, 7000), _mp3(32000, 48, 7400), _mp3(32000, 64, 11000)),
    *(
        _mp3(RATE, 40, 6800),
        _mp3(RATE, 48, 7500),
        _mp3(RATE, 56, 10200),
        _mp3(RATE, 64, 10900),
    ),
    *(_mp3(RATE, 80, 13000), _mp3(RATE, 96, 15100), _mp3(RATE, 112, 15100)),
)
# Mid is louder than side by up to this, in dB; the mean in music is 10.
LOUDER = 20.0


class CodecSettings(NamedTuple):
    """Choose how signals go through codecs.

    Attributes:
        share: of the signals that are coded, 0 to 1.
        full_band: of those, the share that is coded without a low-pass before it.
        lowest: in Hz; codecs whose limit is lower are not used.
    """

    share: float
    full_band: float
    lowest: float


class Sources(NamedTuple):
    """Signals that may be coded.

    Attributes:
        degraded: (batch, time), behind their low-passes.
        cutoff: (batch,) in Hz, of those.
        original: (batch, time), the same before their low-passes.
        highest: (batch,) in Hz: the highest limit of a codec that originals are put through.
        mid: (batch, time), where the signals are sides of stereo: their mids, of any level.
    """

    degraded: Tensor
    cutoff: Tensor
    original: Tensor
    highest: Tensor
    mid: Tensor | None


class Draw(NamedTuple):
    """Hold the random numbers of one signal, each from 0 to 1.

    Attributes:
        coded: whether it is coded.
        codec: by which.
        cutoff: how far the cutoff that is stated lies below the codec's limit.
        full_band: whether it is coded without a low-pass.
        speed: at which it is coded.
        mid: how much louder than side mid is.
    """

    coded: float
    codec: float
    cutoff: float
    full_band: float
    speed: float
    mid: float


def apply_codecs(
    sources: Sources, settings: CodecSettings, rate: int, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Put a share of some signals through codecs, each through one drawn for it.

    A signal behind a low-pass leaves a codec more bits than it needs. Some are therefore coded as they were
    before their low-pass, and the codec's own low-pass ends them; below it are then the holes that files of
    few bits have. A signal's cutoff becomes the lower of its own and the codec's limit, which moves with the
    speed at which the signal is coded. A signal remains as it is where the limits of all codecs lie under the
    lowest cutoff. The result depends on the arguments alone, whatever the number of threads. A segment of
    65,536 samples takes 24 ms of one
    core, mean over the codecs: 12 to 14 in Vorbis, 11 to 41 in MP3.

    Args:
        sources: the signals.
        settings: which share is coded, and how.
        rate: of the signals, in Hz.
        draws: (6, batch), the fields of a `Draw` for every signal.

    Returns:
        The degraded signals and their cutoffs, on the device that they came from.

    Raises:
        OvertoneError: the rate is not 44,100 Hz.
    """
    if rate != RATE:
        raise OvertoneError(f"train.augment.coded is {settings.share}; it is 0 unless degrade.rate is {RATE}")
    on_cpu = sources._replace(
        degraded=sources.degraded.cpu().clone(),
        cutoff=sources.cutoff.cpu().clone(),
        original=sources.original.cpu(),
        mid=None if sources.mid is None else sources.mid.cpu(),
    )
    drawn = [Draw(*column) for column in zip(*draws.tolist(), strict=True)]

    def code(row: int) -> None:
        coded = _code_signal(on_cpu, row, settings, drawn[row])
        if coded is not None:
            on_cpu.degraded[row], on_cpu.cutoff[row] = torch.from_numpy(coded[0]), coded[1]

    with ThreadPoolExecutor(worker_count()) as pool:
        list(pool.map(code, (draws[0] < settings.share).nonzero()[:, 0].tolist()))
    device = sources.degraded.device
    return on_cpu.degraded.to(device), on_cpu.cutoff.to(device)


def _code_signal(
    sources: Sources, row: int, settings: CodecSettings, draw: Draw
) -> tuple[np.ndarray, float] | None:
    """Code a signal: its samples (time,) and cutoff in Hz, or None if no codec's limit is high enough."""
    faster = FASTER ** (2 * draw.speed - 1)
    # Content at the codec's limit was lower by this factor before the signal was sped up.
    lowest, highest = faster * settings.lowest, faster * float(sources.highest[row])
    narrow = LOW_BITRATE_CODECS if sources.mid is None else STEREO_CODECS
    ending = [codec for codec in narrow if lowest <= codec.limit <= highest]
    full_band = draw.full_band < settings.full_band and bool(ending)
    codecs = ending if full_band else [codec for codec in CODECS if codec.limit >= lowest]
    if not codecs:
        return None
    codec = codecs[int(draw.codec * len(codecs))]
    limit = codec.limit / faster * (1 - 0.05 * draw.cutoff)
    if not full_band:
        coded = encode_decode(sources.degraded[row].numpy(), codec, faster)
        return coded, min(limit, float(sources.cutoff[row]))
    original = sources.original[row].numpy()
    if sources.mid is None:
        return encode_decode(original, codec, faster), limit
    mid = sources.mid[row].numpy()
    gain = 10 ** (LOUDER / 20 * draw.mid) * original.std() / max(mid.std(), 1e-9)
    return encode_decode_side(original, mid * np.float32(gain), codec, faster), limit


def encode_decode(samples: np.ndarray, codec: Codec, faster: float = 1.0) -> np.ndarray:
    """Encode and decode (time,) or (time, 2) float32 samples at 44.1 kHz, played faster by a factor for it.

    The result is aligned to the sample.
    """
    # By one transform of the signal, after which every sample is at its position again.
    count = round(len(samples) * codec.rate / RATE / faster)
    sent = scipy.signal.resample(samples, count) if count != len(samples) else samples
    kind = {"format": codec.format, "subtype": codec.subtype}
    decoded = round_trip(sent, codec.rate, **kind, compression_level=codec.level, bitrate_mode=codec.mode)
    if len(decoded) != count:
        raise OvertoneError(
            f"{codec.subtype} at level {codec.level:.3f} made {len(decoded)} samples of {count}: "
            "this libsndfile does not take out the codec's delay; set train.augment.coded to 0"
        )
    if count != len(samples):
        decoded = scipy.signal.resample(decoded, len(samples))
    return decoded


def encode_decode_side(side: np.ndarray, mid: np.ndarray, codec: Codec, faster: float) -> np.ndarray:
    """Encode and decode (time,) samples as the side of stereo, with this mid; returns the side."""
    both = np.stack([mid + side, mid - side], axis=1)
    # Beyond full scale it would be clipped.
    loudest = max(np.float32(1), np.abs(both).max())
    left, right = encode_decode(both / loudest, codec, faster).T
    decoded: np.ndarray = (left - right) * (loudest / 2)
    return decoded


def round_trip(samples: np.ndarray, rate: int, **kind: str | float | None) -> np.ndarray:
    """Write (time,) or (time, channels) samples to a file in memory and read them back: float32, the same
    shape.

    Lossy formats may give a few samples more or less.

    Args:
        samples: float32.
        rate: of the file, in Hz.
        kind: ``format``, ``subtype``, ``compression_level``, ``bitrate_mode``, as soundfile takes them.
    """
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples[:1].size, **kind) as encoder:
        for start in range(0, len(samples), WRITE_SAMPLES):
            encoder.write(samples[start : start + WRITE_SAMPLES])
    file.seek(0)
    decoded: np.ndarray = soundfile.read(file, dtype="float32", always_2d=samples.ndim == 2)[0]
    return decoded
