"""The residual blocks of the spectral network: convolutions over frames, in the manner of ConvNeXt."""

import torch
from torch import Tensor, nn

from overtone.models.spectral_settings import KERNEL, SpectralSettings


class Block(nn.Module):
    """A residual block: a depthwise convolution over frames, then two linear layers over features.

    After ConvNeXt (Liu et al., arXiv 2201.03545): depthwise convolution, layer norm, a wide linear layer,
    GELU, a linear layer back.

    Attributes:
        reach: frames on each side that an output frame depends on.
    """

    def __init__(self, features: int, expansion: int, dilation: int) -> None:
        super().__init__()
        self.dilation, self.reach = dilation, KERNEL // 2 * dilation
        self.mix = nn.Conv1d(features, features, KERNEL, dilation=dilation, groups=features)
        self.norm = nn.LayerNorm(features)
        self.wide = nn.Linear(features, expansion * features)
        self.narrow = nn.Linear(expansion * features, features)
        self.scale = nn.Parameter(torch.full((features,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, reach + frames + reach, features) to (batch, frames, features)."""
        # The convolution as a sum of shifted frames: the operator wants frames last, which costs two copies,
        # and torch.compile generates its gradient again for every number of frames.
        taps, count = self.mix.weight[:, 0].T.contiguous(), x.shape[1] - 2 * self.reach
        assert self.mix.bias is not None
        y = torch.addcmul(self.mix.bias, taps[0], x[:, :count])
        for number, tap in enumerate(taps[1:], start=1):
            y.addcmul_(tap, x[:, number * self.dilation :][:, :count])
        y = self.narrow(nn.functional.gelu(self.wide(self.norm(y))))
        return torch.addcmul(x[:, self.reach : self.reach + count], self.scale, y)


class Blocks(nn.ModuleList):
    """All blocks in sequence, with dilations that repeat; silence is added before and after their input.

    Attributes:
        reaches: of each block.
    """

    def __init__(self, settings: SpectralSettings) -> None:
        features, expansion = settings.features, settings.expansion
        super().__init__([Block(features, expansion, dilation) for dilation in settings.dilations])
        self.reaches, self.features = settings.reaches, features

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, frames, features) to the same shape."""
        for block, reach in zip(self, self.reaches, strict=True):
            x = block(nn.functional.pad(x, (0, 0, reach, reach)))
        return x


class BlockStream:
    """Runs all blocks over the frames of one signal, some at a time, as `Blocks` does over all of them.

    Every block keeps the last frames that it was given, so the output lags behind the input.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        scale = next(blocks.parameters())
        # Silence before the start.
        self._before = [scale.new_zeros(1, reach, blocks.features) for reach in blocks.reaches]

    def __call__(self, x: Tensor, last: bool) -> Tensor:
        """Take (1, frames, features), any number; return those that are ready, at the last call all."""
        for number, (block, reach) in enumerate(zip(self._blocks, self._blocks.reaches, strict=True)):
            x = torch.cat([self._before[number], x], dim=1)
            if last:
                x = nn.functional.pad(x, (0, 0, 0, reach))
            self._before[number] = x[:, -2 * reach :]
            x = block(x) if x.shape[1] > 2 * reach else x[:, :0]
        return x
