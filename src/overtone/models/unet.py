"""Restore waveforms by the paper's U-Net (section 3.3)."""

from dataclasses import dataclass

import torch
from torch import nn

from overtone.core.params import check
from overtone.models.torch_network import TorchNetwork
from overtone.models.windowed import Windows

KERNEL, UP_KERNEL, SLOPE = 15, 16, 0.2
STRIDES = (1, 2, 2, 2)


@dataclass(frozen=True)
class UNetSettings:
    """The group ``model.unet`` of params.yaml.

    Attributes:
        channels: of the four encoder blocks. The paper: 64, 128, 256, 512.
    """

    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = len(self.channels) == len(STRIDES) and min(self.channels) >= 1
        check(fits, "model.unet.channels", list(self.channels), "four numbers of channels, each 1 or more")


class UNet(TorchNetwork):
    """Four convolutions down, three transposed ones up, joined by skip connections.

    ::

        (B, 1, T) - c0 --------------------------------- c0 - last - tanh
                     \\_ c1, T/2 ______________ c1, T/2 _/
                         \\_ c2, T/4 __ c2, T/4 _/
                             \\_ c3, T/8 _/

    Every output sample depends on ``context`` samples on each side of it and on no more, so a long
    signal can be run in windows with that much thrown away at their edges.
    """

    # Whole windows must start at multiples of the product of the strides.
    stride = 8
    # What it adds is the difference of two loud waveforms: bfloat16's rounding would be audible.
    half_precision = False

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        c = settings.channels
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, after, KERNEL, stride, KERNEL // 2),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(SLOPE),
            )
            for before, after, stride in zip((1, *c), c, STRIDES, strict=False)
        )
        # Behind the first, a block's input is the last one's output beside the encoder's of that length.
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose1d(before, after, UP_KERNEL, 2, (UP_KERNEL - 2) // 2),
                nn.BatchNorm1d(after),
                nn.ReLU(),
            )
            for before, after in ((c[3], c[2]), (2 * c[2], c[1]), (2 * c[1], c[0]))
        )
        self.last = nn.Conv1d(2 * c[0], 1, KERNEL, 1, KERNEL // 2)

    def signal_stream(self, cutoff: float) -> Windows:
        """Open the stream of one signal, of tensors on the network's device."""
        return Windows(self, cutoff, self.device)

    @property
    def context(self) -> int:
        """Samples on each side that an output sample depends on; a multiple of ``stride``."""
        down = sum(KERNEL // 2 * step for step in (1, 1, 2, 4))
        up = sum(UP_KERNEL // 2 * step for step in (4, 2, 1))
        return -(-(down + up + KERNEL // 2) // self.stride) * self.stride

    def forward(self, samples: torch.Tensor, cutoff: torch.Tensor) -> torch.Tensor:
        """Map (batch, time) degraded samples, peak 1, to (batch, time) restored ones.

        The network detects by itself where the band ends; ``cutoff`` (batch,) is not used.
        """
        time = samples.shape[-1]
        x = nn.functional.pad(samples, (0, -time % self.stride))[:, None]
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], dim=1)
        # The last layer's sum decides what silence sounds like: not in half precision.
        with torch.autocast(x.device.type, enabled=False):
            restored: torch.Tensor = torch.tanh(self.last(x.float()))
        return restored[:, 0, :time]
