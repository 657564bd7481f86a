"""Encode sounds and pictures as data URIs, small enough for a page.

Sounds are MP3: every browser plays it (for years Safari played no Ogg), and the same samples give the
same bytes (Ogg streams carry a random serial number).
"""

import base64
import io
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from overtone.audio import resample
from overtone.core.errors import OvertoneError

# By channels, on soundfile's scale from 320 to 32 kbit/s: 128 kbit/s in mono, 224 in stereo. At these LAME
# keeps white noise flat to 19 kHz (measured); stereo at 128 ends at 16.5 kHz.
COMPRESSION = {1: 2 / 3, 2: 1 / 3}
N_FFT, HOP = 2048, 512
ROWS, COLUMNS = 256, 640  # of a spectrogram's pixels at most
RANGE = 80  # dB from the loudest point down to black


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read an example: (time, channels) float32 and its rate in Hz; OvertoneError if it does not decode."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise OvertoneError(f"{path} does not decode: {error.error_string}") from None
    return samples, int(rate)


def sound(samples: np.ndarray, rate: int) -> str:
    """Encode (time, channels) as an MP3 at 44.1 or 48 kHz; more than two channels become their mean."""
    if samples.shape[1] > 2:
        samples = samples.mean(axis=1, keepdims=True)
    out_rate = rate if rate == 44100 else 48000
    content = io.BytesIO()
    soundfile.write(
        content,
        resample.resample(np.ascontiguousarray(samples.T), rate, out_rate).T,
        out_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=COMPRESSION[samples.shape[1]],
    )
    return uri("audio/mpeg", content.getvalue())


def power(samples: np.ndarray) -> np.ndarray:
    """Compute the power of (time, channels), mean over channels: (N_FFT / 2 + 1, frames)."""
    padded = np.pad(samples, ((0, max(0, N_FFT - len(samples))), (0, 0)))
    frames = sliding_window_view(padded, N_FFT, axis=0)[::HOP]
    spectrum = np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1], axis=-1)
    mean: np.ndarray = (np.abs(spectrum) ** 2).mean(axis=1).T
    return mean


def spectrogram(levels: np.ndarray, loudest: float) -> str:
    """Encode a power spectrogram (bins, frames) as a PNG of 256 colours, in dB below `loudest`."""
    drawn = _reduce(_reduce(levels, ROWS).T, COLUMNS).T
    decibels = 10 * np.log10(np.maximum(drawn, 1e-12) / max(loudest, 1e-12))
    shades = np.clip(255 * (1 + decibels / RANGE), 0, 255).astype(np.uint8)
    image = Image.fromarray(shades[::-1])
    image.putpalette((255 * matplotlib.colormaps["magma"](np.arange(256))[:, :3]).astype(np.uint8).tobytes())
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return uri("image/png", content.getvalue())


def _reduce(rows: np.ndarray, most: int) -> np.ndarray:
    """Reduce an array to at most so many rows, each the mean of adjoining rows."""
    starts = np.unique(np.arange(min(most, len(rows))) * len(rows) // min(most, len(rows)))
    counts = np.diff([*starts, len(rows)])
    means: np.ndarray = np.add.reduceat(rows, starts, axis=0) / counts[:, None]
    return means


def png(path: Path) -> str:
    """Encode a PNG file."""
    return uri("image/png", path.read_bytes())


def uri(kind: str, content: bytes) -> str:
    """Encode bytes as a data URI of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
