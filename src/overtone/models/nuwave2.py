"""Diffusion model after NU-Wave 2: denoise samples in a few steps, given the degraded samples and their
cutoff.

After Han and Lee, "NU-Wave 2" (arXiv 2206.08545), which takes its residual blocks from DiffWave (Kong et
al., arXiv 2009.09761) and its short-time Fourier convolution from Chi et al., "Fast Fourier Convolution"
(NeurIPS 2020). This is written from the papers; it has no code and no weights of theirs. It runs at 44.1 kHz
instead of 48 kHz, and computes the band mask from the cutoff in Hz.

The network predicts the noise in a mix of music and noise (`overtone.models.nuwave2_schedule`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overtone.core.params import check
from overtone.core.rates import MODEL_RATE
from overtone.models.nuwave2_schedule import MOST, diffuse, log_snr, sampling_levels, step
from overtone.models.torch_network import TorchNetwork
from overtone.models.windowed import Windows

N_FFT, HOP = 1024, 256
BINS = N_FFT // 2 + 1
KERNEL = 3
# A level is embedded as sines and cosines of so many angular frequencies, followed by two linear layers.
WAVES, FASTEST, SLOWEST = 64, 10.0, 0.01
EMBEDDING_PER_CHANNEL = 8
# Sampling begins with noise of this period: 3 s, too long to be audible as a rhythm.
PERIOD = 1 << 17
# Samples that go through the blocks at once in sampling: at full size, 6 s at once took 1.2 GB.
SEGMENT = 1 << 17


@dataclass(frozen=True)
class NuWave2Settings:
    """The group ``model.nuwave2`` of params.yaml.

    Attributes:
        channels: of a block; half of them go through the STFT. The paper: 64.
        layers: number of blocks. The paper: 15.
        steps: of sampling. The paper: 8.
    """

    channels: int
    layers: int
    steps: int

    def __post_init__(self) -> None:
        even = self.channels >= 2 and self.channels % 2 == 0
        check(even, "model.nuwave2.channels", self.channels, "an even number, 2 or more")
        for key in ("layers", "steps"):
            value = getattr(self, key)
            check(value >= 1, f"model.nuwave2.{key}", value, "a whole number, 1 or more")


class BandTransform(nn.Module):
    """BSFT: scale and shift every bin by amounts computed from the band mask at it and its neighbours."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(2, channels, KERNEL, padding=KERNEL // 2)
        self.scale = nn.Conv1d(channels, features, KERNEL, padding=KERNEL // 2)
        self.shift = nn.Conv1d(channels, features, KERNEL, padding=KERNEL // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, features, frames, bins) and the mask (batch, 2, bins) to the shape of the former."""
        hidden = nn.functional.silu(self.hidden(mask))
        scale, shift = (1 + self.scale(hidden))[:, :, None], self.shift(hidden)[:, :, None]
        return torch.addcmul(shift, x, scale)


class FourierConvolution(nn.Module):
    """STFC: a 1x1 convolution over the bins of a short-time Fourier transform, and back.

    Real and imaginary parts are separate channels of the convolution, so that a bin of one channel affects
    that bin of all channels. BSFT conditions it on the bins that the input has.
    """

    window: Tensor

    def __init__(self, channels: int, features: int, out: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(features, features, 1)
        self.mix = nn.Conv1d(2 * features, 2 * features, 1)
        self.band = BandTransform(channels, 2 * features)
        self.leave = nn.Conv1d(features, out, 1)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, features, time) and the mask (batch, 2, bins) to (batch, out, time)."""
        x = nn.functional.relu(self.enter(x))
        size, features, time = x.shape
        # Transforms have no bfloat16, and sums over 1024 samples would not keep its 8 bits.
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.stft(
                x.float().flatten(0, 1),
                N_FFT,
                HOP,
                window=self.window,
                pad_mode="constant",
                normalized=True,
                return_complex=True,
            )
        # Frames before bins, as the transform lays them out in memory.
        spectrum = spectrum.transpose(1, 2).reshape(size, features, -1, BINS)
        parts = torch.cat([spectrum.real, spectrum.imag], dim=1)
        parts = self.mix(parts.flatten(2)).reshape(parts.shape)
        parts = nn.functional.relu(self.band(parts, mask))
        with torch.autocast(x.device.type, enabled=False):
            real, imaginary = parts.float().chunk(2, dim=1)
            filtered = torch.istft(
                torch.complex(real, imaginary).flatten(0, 1).transpose(1, 2),
                N_FFT,
                HOP,
                window=self.window,
                normalized=True,
                length=time,
            )
        result: Tensor = self.leave(x + filtered.reshape(x.shape))
        return result


class Block(nn.Module):
    """A gated residual block: half of its channels are processed in time, the others as a spectrum too.

    ::

        x + level - local half ---- conv ------+- sigmoid -+
                  \\           \\_ conv _      /             * - conv -+- + x
                   \\_ global half -- conv ---+             |        |
                             \\___ STFC _ + _ _______ tanh -+        +- skip
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        half, reach = channels // 2, KERNEL // 2
        self.level = nn.Linear(embedding, channels)
        self.to_local = nn.Conv1d(channels, channels, KERNEL, padding=reach)
        self.to_global = nn.Conv1d(half, channels, KERNEL, padding=reach)
        self.fourier = FourierConvolution(channels, half, channels)
        self.leave = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, x: Tensor, level: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, channels, time), the level (batch, embedding) and the mask to the next x and a skip."""
        conditioned = x + self.level(level)[..., None]
        local, spectral = conditioned.chunk(2, dim=1)
        gate = self.to_local(conditioned).sigmoid()
        y = gate * (self.to_global(local) + self.fourier(spectral, mask)).tanh()
        onward, skip = self.leave(y).chunk(2, dim=1)
        return (x + onward) / math.sqrt(2), skip


class NuWave2(TorchNetwork):
    """Noise in, music out, in a few steps, each conditioned on the degraded samples and the band.

    Sampling begins with the same noise every time. The noise repeats every ``stride`` samples, so that a
    window
    need not know where in the signal it starts, and its sign follows that of the input: equal channels have
        the
    same noise, opposite channels opposite noise, and mid and side uncorrelated noise. With the same noise for
    mid and side, all added content would be on the left.
    """

    # A window must start where the noise repeats.
    stride = PERIOD
    # What it adds is the difference of two loud waveforms: bfloat16's rounding would be audible.
    half_precision = False
    waves: Tensor
    noise: Tensor

    def __init__(self, settings: NuWave2Settings) -> None:
        super().__init__()
        self.settings = settings
        channels, embedding = settings.channels, EMBEDDING_PER_CHANNEL * settings.channels
        self.embed = nn.Sequential(
            nn.Linear(2 * WAVES, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.enter = nn.Conv1d(2, channels, 1)
        self.blocks = nn.ModuleList(Block(channels, embedding) for _ in range(settings.layers))
        self.wide = nn.Conv1d(channels, channels, 1)
        self.leave = nn.Conv1d(channels, 1, 1, bias=False)
        nn.init.zeros_(self.leave.weight)
        waves = torch.logspace(math.log10(FASTEST), math.log10(SLOWEST), WAVES)
        self.register_buffer("waves", waves, persistent=False)
        noise = torch.randn(PERIOD, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", noise, persistent=False)

    def signal_stream(self, cutoff: float) -> Windows:
        """Open the stream of one signal, of tensors on the network's device."""
        return Windows(self, cutoff, self.device)

    @property
    def context(self) -> int:
        """Samples on each side that an output sample depends on: a frame for every block and step."""
        return self.settings.steps * self.settings.layers * N_FFT

    def forward(self, samples: Tensor, cutoff: Tensor) -> Tensor:
        """Restore samples whose content ends at a cutoff.

        Args:
            samples: (batch, time), at 44.1 kHz, peak 1; the first at a multiple of ``stride``.
            cutoff: (batch,) in Hz.

        Returns:
            (batch, time).
        """
        levels = sampling_levels(self.settings.steps)
        x = self.first_noise(samples)
        reach = self.settings.layers * N_FFT
        for level, following in zip(levels, [*levels[1:], MOST], strict=True):
            log_snrs = torch.full_like(cutoff, level)
            predicted = []
            for start in range(0, samples.shape[-1], SEGMENT):
                first, end = max(start - reach, 0), start + SEGMENT + reach
                noise = self.predict(x[:, first:end], samples[:, first:end], cutoff, log_snrs)
                predicted.append(noise[:, start - first : start - first + SEGMENT])
            x = step(x, torch.cat(predicted, dim=1), level, following)
        return x

    def first_noise(self, samples: Tensor) -> Tensor:
        """Return the noise to begin with, (batch, time): it depends on position and sign alone."""
        size, time = samples.shape
        noise = self.noise.repeat(-(-time // PERIOD))[:time]
        hops = nn.functional.pad(samples, (0, -time % HOP)).reshape(size, -1, HOP)
        sign = torch.where(hops.sum(-1) < 0, -1.0, 1.0).repeat_interleave(HOP, dim=1)[:, :time]
        return noise * sign

    def predict(self, x: Tensor, samples: Tensor, cutoff: Tensor, level: Tensor) -> Tensor:
        """Predict the noise in a noisy signal.

        Args:
            x: (batch, time), music and noise.
            samples: (batch, time), the degraded music.
            cutoff: (batch,) in Hz, where their content ends.
            level: (batch,), the log-SNR of ``x``.

        Returns:
            (batch, time), of variance about 1.
        """
        angle = level[:, None] * self.waves
        embedding = self.embed(torch.cat([angle.sin(), angle.cos()], dim=1))
        bins = torch.arange(BINS, device=x.device) * (MODEL_RATE / N_FFT)
        below = (bins < cutoff[:, None]).to(x.dtype)
        mask = torch.stack([below, 1 - below], dim=1)
        y = nn.functional.relu(self.enter(torch.stack([x, samples], dim=1)))
        total = torch.zeros_like(y)
        for block in self.blocks:
            y, skip = block(y, embedding, mask)
            total = total + skip
        y = nn.functional.relu(self.wide(total / math.sqrt(self.settings.layers)))
        predicted: Tensor = self.leave(y)[:, 0]
        return predicted.to(x.dtype)

    def training_loss(self, degraded: Tensor, original: Tensor, cutoff: Tensor, seeds: list[int]) -> Tensor:
        """Compute the mean absolute error of the predicted noise; each segment has its own noise level.

        Args:
            degraded, original: (batch, time).
            cutoff: (batch,) in Hz.
            seeds: one for each segment, which its level and noise are drawn from.
        """
        # Drawn on the CPU: the same numbers on every device.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        time = torch.cat([torch.rand(1, generator=generator) for generator in generators])
        noise = torch.stack(
            [torch.randn(original.shape[-1], generator=generator) for generator in generators]
        )
        level, noise = log_snr(time).to(original.device), noise.to(original.device)
        predicted = self.predict(diffuse(original, noise, level[:, None]), degraded, cutoff, level)
        return (predicted.float() - noise).abs().mean()
