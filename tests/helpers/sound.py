"""Small networks and measures that the tests of restoring share."""

from fractions import Fraction

import av
import numpy as np
import soundfile
import torch

from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.unet import UNet, UNetSettings

RATE, CUTOFF = 44100, 6000.0
# How soundfile is asked for what it does not tell by the suffix, and FFmpeg for what it does not write.
KINDS = {
    ".aif": {"format": "AIFF"},
    ".aifc": {"format": "AIFF", "subtype": "FLOAT"},
    ".oga": {"format": "OGG"},
    ".opus": {"format": "OGG", "subtype": "OPUS"},
}
CODECS = {".m4a": "aac", ".mp2": "mp2", ".wma": "wmav2", ".wv": "wavpack"}


def make(kind):
    """A small network with random weights, loud enough to be heard."""
    torch.manual_seed(0)
    if kind == "unet":
        return UNet(UNetSettings((4, 4, 4, 4))).eval()
    net = Spectral(SpectralSettings(features=8, blocks=1, expansion=1, harmonics=1.0)).eval()
    torch.nn.init.normal_(net.leave.bias, 1.0, 0.2)
    return net


def forget_length(path):
    """Make a FLAC one as written to a pipe: its header does not say how many samples there are."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def level(samples):
    return 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) + 1e-12)


def band(samples, least, most, rate=RATE):
    """Level in dB of a band in Hz; without the Hann window the ends would leak into it."""
    spectrum = np.fft.rfft(samples * np.hanning(samples.shape[1]), axis=1)
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    return level(np.abs(spectrum[:, (hertz >= least) & (hertz < most)]))


def written(path, samples, rate):
    """Write (time, channels) samples as a file of its suffix."""
    if path.suffix in CODECS:
        return write_by_ffmpeg(path, samples, rate, CODECS[path.suffix])
    soundfile.write(path, samples, rate, **KINDS.get(path.suffix, {}))
    return path


def write_by_ffmpeg(path, samples, rate, codec, said=None, **options):
    """Write (time, channels) samples as libsndfile cannot; FFmpeg takes the format from the name."""
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(said or {})
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
        able = [form.name for form in av.Codec(codec, "w").audio_formats]
        wanted = next(form for form in ("s16", "s16p", "flt", "fltp") if form in able)
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate, stream.codec_context.format = 320_000, wanted
        size = stream.codec_context.frame_size or 4096
        convert = av.AudioResampler(wanted, layout, rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for piece in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(piece))
    return path
