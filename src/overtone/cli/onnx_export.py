"""Write a network as an ONNX file, which runs without PyTorch: samples and cutoffs in, samples out.

ONNX has no complex numbers, so the spectral network is written in real arithmetic, its transforms as
matrix products. `RealSpectral.forward` computes the same as `Spectral.forward`; a test compares them.
"""

import contextlib
import io
import secrets
import warnings
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from overtone.core.errors import OvertoneError, need
from overtone.models import harmonics
from overtone.models.nuwave2 import NuWave2
from overtone.models.registry import Network
from overtone.models.spectral import Spectral
from overtone.models.spectral_bands import first_bin
from overtone.models.spectral_frames import BINS, HOP, HOPS, N_FFT, log_magnitude, octave_shift, overlap_add

# Layer normalisation came with this one; ONNX Runtime 1.12 and later know it.
OPSET = 17


class Pair(NamedTuple):
    """Real and imaginary part of a spectrum, each (batch, frames, bins)."""

    real: Tensor
    imag: Tensor


class RealSpectral(nn.Module):
    """Run the spectral network without complex numbers: (batch, time), (batch,) to (batch, time).

    The transform of a real signal is two products of half the size: cosines need only the even part of a
    frame, ``x[n] + x[N - n]``, sines only the odd part; the inverse likewise.
    """

    window: Tensor
    cosines: Tensor
    sines: Tensor
    weight: Tensor

    def __init__(self, net: Spectral) -> None:
        super().__init__()
        self.net = net
        bins = torch.arange(BINS)
        angle = (bins[:, None] * bins % N_FFT).double() * (2 * torch.pi / N_FFT)
        # All bins but the first and the last also stand for their mirror images.
        weight = torch.where((bins == 0) | (bins == BINS - 1), 1.0, 2.0) / N_FFT
        self.register_buffer("window", net.window.clone())
        self.register_buffer("cosines", angle.cos().float())
        self.register_buffer("sines", angle.sin().float())
        self.register_buffer("weight", weight)

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore samples as `Spectral.forward` does, for all bins at once."""
        first, bins = first_bin(cutoff), torch.arange(BINS)
        below = bins < first[:, None]
        spectrum = self.stft(samples)
        # `magnitudes` uses only the two parts of a spectrum.
        magnitude = self.net.magnitudes(cast(Tensor, spectrum), first, 0)
        shift = octave_shift(first, bins)
        if self.net.settings.harmonics:
            level = log_magnitude(cast(Tensor, spectrum))
            sticks_out = harmonics.continue_partials(level, first, bins, self.correlation)
            magnitude = magnitude * 10 ** (self.net.settings.harmonics * sticks_out)
        moved = _moved_phases(spectrum, bins, shift)
        made = [
            torch.where(below[:, None], kept, phase * magnitude)
            for kept, phase in zip(spectrum, moved, strict=True)
        ]
        return self.istft(Pair(*made), samples.shape[-1])

    def stft(self, samples: Tensor) -> Pair:
        """Transform (batch, time) to (batch, frames, bins); frame t is centred on sample t * HOP."""
        outside = N_FFT // 2
        padded = nn.functional.pad(samples, (outside, -samples.shape[-1] % HOP + outside))
        hops = padded.reshape(padded.shape[0], -1, HOP)
        count = hops.shape[1] - HOPS + 1
        frames = torch.cat([hops[:, part : part + count] for part in range(HOPS)], dim=-1) * self.window
        mirrored = nn.functional.pad(frames[..., BINS:].flip(-1), (1, 1))
        return Pair(
            (frames[..., :BINS] + mirrored) @ self.cosines, (mirrored - frames[..., :BINS]) @ self.sines
        )

    def correlation(self, a: Tensor, b: Tensor) -> Tensor:
        """Correlate as `harmonics.correlation`, (batch, frames, bins), for half as many lags as bins."""
        of_a, of_b = (Pair(x @ self.cosines, -x @ self.sines) for x in (a, b))
        real = of_a.real * of_b.real + of_a.imag * of_b.imag
        imaginary = of_a.imag * of_b.real - of_a.real * of_b.imag
        cosines, sines = (matrix[:, : BINS // 2 + 1] for matrix in (self.cosines, self.sines))
        return (real * self.weight) @ cosines - (imaginary * self.weight) @ sines

    def istft(self, spectrum: Pair, time: int) -> Tensor:
        """Transform (batch, frames, bins) back to (batch, time), the signal whose STFT is closest."""
        same, opposite = (
            (spectrum.real * self.weight) @ self.cosines,
            (spectrum.imag * self.weight) @ self.sines,
        )
        half = (same + opposite)[..., 1:-1].flip(-1)
        frames = torch.cat([same - opposite, half], dim=-1) * self.window
        squares = (self.window**2).expand(1, frames.shape[1], N_FFT)
        inside = slice(N_FFT // 2, N_FFT // 2 + time)
        samples: Tensor = overlap_add(frames)[:, inside] / overlap_add(squares)[:, inside]
        return samples


def _moved_phases(spectrum: Pair, bins: Tensor, shift: Tensor) -> Pair:
    """Compute unit phases of all bins from the octave below the cutoff, as the network's stream does."""
    source = (bins - shift)[:, None].expand(spectrum.real.shape)
    real, imaginary = spectrum.real.gather(2, source), spectrum.imag.gather(2, source)
    size = (real**2 + imaginary**2).clamp_min(1e-18).rsqrt()
    frames = torch.arange(spectrum.real.shape[1])
    turns = (frames[:, None] - HOPS // 2) * shift[:, None] % HOPS
    angle = turns.float() * (2 * torch.pi / HOPS)
    cosine, sine = angle.cos() * size, angle.sin() * size
    return Pair(real * cosine - imaginary * sine, real * sine + imaginary * cosine)


def export(net: Network, path: Path, about: dict[str, str]) -> None:
    """Write a network as ONNX, in float32.

    Its inputs are ``samples`` (batch, time) at 44.1 kHz and ``cutoff`` (batch,) in Hz, its output is
    ``restored`` (batch, time); batch and time are free. Gain control (restoration.stream.gain_control)
    and the crossover, which keeps the low band, are not part of it.

    Args:
        net: the network, on the CPU, in evaluation mode.
        path: the file; it is replaced if it is there.
        about: texts for the file's metadata.

    Raises:
        OvertoneError: ONNX is not installed, the file cannot be written, or it is a network of many steps.
    """
    need("export", "onnx")
    if isinstance(net, NuWave2):
        raise OvertoneError("a nuwave2 model cannot be exported; unet and spectral models can")
    import onnx

    module = RealSpectral(net).eval() if isinstance(net, Spectral) else net
    free = {"samples": {0: "batch", 1: "time"}, "cutoff": {0: "batch"}, "restored": {0: "batch", 1: "time"}}
    exported = io.BytesIO()
    with warnings.catch_warnings():
        # PyTorch has a newer exporter (`dynamo=True`) and says so. For a tiny network it took 23 to 31 s of
        # one core, this one 0.6, and it needs another package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(2, 3 * N_FFT + 1), torch.full((2,), 8000.0)),
            cast(str, exported),  # any binary file will do here, whatever the newer exporter's types say
            input_names=["samples", "cutoff"],
            output_names=["restored"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(exported.getvalue())
    if len(model.graph.input) == 1:
        # The U-Net does not use its cutoff, and PyTorch leaves out unused inputs.
        kind = onnx.TensorProto.FLOAT
        model.graph.input.append(onnx.helper.make_tensor_value_info("cutoff", kind, ["batch"]))
    onnx.helper.set_model_props(model, about)
    temporary = path.with_name(f".overtone-{secrets.token_hex(4)}.part")
    try:
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(path)
    except OSError as error:
        raise OvertoneError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
