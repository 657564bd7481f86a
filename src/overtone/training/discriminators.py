"""Train against discriminators: spectrogram discriminators of several resolutions, losses and optimiser.

A regression loss is lowest for the mean of all possible high bands, which is smooth and noisy. A
discriminator that learns to tell this mean from recordings makes the network produce one possible high band
instead.

Its input is the original with the band from the cutoff to the bandwidth replaced by that of the estimate. So
it sees the low band that the high band belongs to, and both inputs have the recording's own MP3 or Vorbis
cut: it cannot win by looking for the cut.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from overtone.core.params import check
from overtone.data.dataset.batch import Batch
from overtone.training.distributed import sum_over_ranks, wrap_network

FFTS = (512, 1024, 2048)
# Samples of every segment that discriminators see, from a position drawn for every step: 0.28 s.
CROP = 12288
# Hz left out under the bandwidth, as in the high_band loss: coders fade there.
EDGE = 300.0
# Music falls by about 12 dB an octave; this much is given back from TILT_FROM Hz on. The median of 48
# segments of the training music then stands at 6 to 9 dB everywhere from 4 to 19 kHz.
TILT, TILT_FROM = 2.0, 1000.0
# Added to tilted magnitudes (1: white noise of the segment's power), 36 dB under that median: a tenth of
# the bins lies under it, quiet frames and the holes that coders leave in them.
FLOOR = 0.03
SLOPE = 0.1
# HiFi-GAN's (Kong et al., arXiv 2010.05646); AP-BWE has the same.
BETAS = (0.8, 0.99)

# Per layer of one discriminator: features (batch, channels, frequency, frames), the last one the
# judgement, and the share of each row that lies in the band (batch, 1, frequency, 1).
Layers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class AdversarialSettings:
    """The group ``train.adversarial`` of params.yaml.

    Attributes:
        weight: of the adversarial loss beside ``train.loss``; 0 switches all of this off.
        feature_matching: weight of the feature-matching loss.
        lr: the discriminator's learning rate; it falls as the network's does.
        start: the epoch in which it begins, counted from 1.
    """

    weight: float
    feature_matching: float
    lr: float
    start: int

    def __post_init__(self) -> None:
        check(self.weight >= 0, "train.adversarial.weight", self.weight, "a weight, 0 (off) or more")
        least = self.feature_matching >= 0
        check(least, "train.adversarial.feature_matching", self.feature_matching, "a weight, 0 or more")
        check(0 < self.lr <= 1, "train.adversarial.lr", self.lr, "a learning rate, above 0 and up to 1")
        check(self.start >= 1, "train.adversarial.start", self.start, "an epoch, counted from 1")


class SpectrogramDiscriminator(nn.Module):
    """Convolutions over a log-magnitude spectrogram that score every patch of it.

    After UnivNet (Jang et al., arXiv 2106.07889), in the 2-D form of Vocos (Siuzdak, arXiv 2306.00814)
    and AP-BWE (Lu et al., arXiv 2401.06387), with a quarter to a half of their channels.
    """

    window: Tensor

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        # (channels in, out), (frequency, time) of kernel and of stride.
        shapes = (
            ((2, 16), (7, 5), (2, 2)),
            ((16, 16), (5, 3), (2, 1)),
            ((16, 32), (5, 3), (2, 2)),
            ((32, 32), (3, 3), (2, 1)),
            ((32, 1), (3, 3), (1, 1)),
        )
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(*channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for channels, kernel, stride in shapes
        )

    def forward(self, samples: Tensor, band: Tensor, rate: int) -> Layers:
        """Score samples (batch, time); band is (batch, 2), from and to in Hz."""
        frequency = torch.arange(self.n_fft // 2 + 1, device=samples.device) * (rate / self.n_fft)
        inside = ((frequency >= band[:, :1]) & (frequency < band[:, 1:])).to(samples.dtype)[:, None, :, None]
        x = self._spectrogram(samples, frequency)
        x = torch.cat([x, inside.expand_as(x)], dim=1).contiguous(memory_format=torch.channels_last)
        result = []
        for layer in self.layers:
            x = layer(x)
            result.append((x, F.adaptive_avg_pool2d(inside, (x.shape[2], 1))))
            x = F.leaky_relu(x, SLOPE)
        return result

    def _spectrogram(self, samples: Tensor, frequency: Tensor) -> Tensor:
        """Compute log magnitudes, raised with frequency and floored: (batch, 1, frequency, frames)."""
        window = self.window / self.window.square().sum().sqrt()
        hop = self.n_fft // 4
        frames = torch.stft(samples, self.n_fft, hop, window=window, center=False, return_complex=True)
        lift = (frequency / TILT_FROM).clamp_min(1) ** (2 * TILT)
        power = (frames.real.square() + frames.imag.square()) * lift[:, None]
        return 0.5 * (power + FLOOR**2).log10()[:, None]


class MultiResolutionDiscriminator(nn.Module):
    """A discriminator per window: short ones see transients, long ones harmonics."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrogramDiscriminator(n_fft) for n_fft in FFTS)

    def forward(self, samples: Tensor, band: Tensor, rate: int) -> list[Layers]:
        """Return the layers of every discriminator; samples shorter than the longest window are padded."""
        samples = F.pad(samples, (0, max(0, max(FFTS) - samples.shape[-1])))
        return [part(samples, band, rate) for part in self.parts]


def replace_band(original: Tensor, estimate: Tensor, band: Tensor, rate: int) -> Tensor:
    """Replace the band of the original by that of the estimate, by one transform of the segment.

    Shape:
        original, estimate (batch, time); band (batch, 2), from and to in Hz -> (batch, time).
    """
    length = original.shape[-1]
    frequency = torch.fft.rfftfreq(length, 1 / rate, device=original.device)
    inside = (frequency >= band[:, :1]) & (frequency < band[:, 1:])
    difference: Tensor = torch.fft.irfft(torch.fft.rfft(estimate - original) * inside, n=length)
    return original + difference


def discriminator_loss(real: list[Layers], generated: list[Layers]) -> Tensor:
    """Compute the hinge loss, 0 where recordings score 1 or more and estimates -1 or less.

    Geometric GAN (Lim and Ye, arXiv 1705.02894), as EnCodec, Vocos and AP-BWE have it.
    """
    ours = _means([((1 - score).relu(), share) for *_, (score, share) in real])
    theirs = _means([((1 + score).relu(), share) for *_, (score, share) in generated])
    return (ours + theirs).mean()


def adversarial_loss(generated: list[Layers]) -> Tensor:
    """Compute the network's hinge loss, 0 where estimates score 1 or more (EnCodec, arXiv 2210.13438)."""
    return _means([((1 - score).relu(), share) for *_, (score, share) in generated]).mean()


def feature_matching_loss(real: list[Layers], generated: list[Layers]) -> Tensor:
    """Compute the mean absolute difference of features, relative to their mean size in the original.

    Larsen et al. (arXiv 1512.09300) and MelGAN (Kumar et al., arXiv 1910.06711); relative to the size as
    in EnCodec, so that a discriminator whose features grow does not outweigh the other losses.
    """
    layers = [
        (ours.detach(), theirs, share)
        for a, b in zip(real, generated, strict=True)
        for (ours, share), (theirs, _) in zip(a[:-1], b[:-1], strict=True)
    ]
    differences = _means([((theirs - ours).abs(), share) for ours, theirs, share in layers])
    sizes = _means([(ours.abs(), share) for ours, _, share in layers])
    return (differences / sizes.clamp_min(1e-6)).mean()


def _means(layers: Layers) -> Tensor:
    """Compute the mean of every layer's values over the rows in the band."""
    sums = []
    for values, share in layers:
        rows = values.float().mean(dim=(1, 3), keepdim=True)
        sums.append(torch.stack([(rows * share).sum(), share.sum()]))
    totals, shares = sum_over_ranks(torch.stack(sums)).unbind(1)
    return totals / shares.clamp_min(1e-6)


class Terms(NamedTuple):
    """The losses of a batch, the network's two and the discriminator's own, with their gradients."""

    adversarial: Tensor
    feature_matching: Tensor
    discriminator: Tensor


class Adversary:
    """The discriminator, its optimiser, and the losses that they give."""

    def __init__(self, settings: AdversarialSettings, seed: int, rate: int, device: torch.device) -> None:
        self.settings = settings
        self.rate = rate
        # Its first weights must not move the random state that the network's training goes on from.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = MultiResolutionDiscriminator().to(device)
        self.runner = wrap_network(self.discriminator)
        self.optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=settings.lr, betas=BETAS)

    def terms(self, estimate: Tensor, batch: Batch, seed: int, precision: str) -> Terms:
        """Compute the losses of a batch's estimate, in a crop that the seed draws."""
        band = torch.stack([batch.cutoff, batch.bandwidth - EDGE], dim=1)
        replaced = replace_band(batch.original, estimate, band, self.rate)
        level = batch.original.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-4)
        spare = max(0, replaced.shape[-1] - CROP)
        start = int(torch.randint(spare + 1, (1,), generator=torch.Generator().manual_seed(seed)))
        crop = slice(start, start + CROP)
        with torch.autocast(estimate.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            ours, theirs = (
                self.runner((samples / level)[:, crop], band, self.rate)
                for samples in (batch.original, replaced)
            )
        return Terms(
            adversarial_loss(theirs), feature_matching_loss(ours, theirs), discriminator_loss(ours, theirs)
        )

    def learn(self, terms: Terms, share: float) -> Tensor:
        """Add the discriminator's gradients for a share of the batch; returns the network's loss."""
        loss: Tensor = terms.discriminator * share
        loss.backward(inputs=list(self.discriminator.parameters()), retain_graph=True)  # type: ignore[no-untyped-call]
        settings = self.settings
        return share * (
            settings.weight * terms.adversarial + settings.feature_matching * terms.feature_matching
        )

    def step(self, factor: float) -> None:
        """Take a step of the discriminator's optimiser, at this factor of its learning rate."""
        self.optimiser.param_groups[0]["lr"] = self.settings.lr * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step of the discriminator depends on."""
        return {"discriminator": self.discriminator.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])
