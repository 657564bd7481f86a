"""Running a network over a whole signal of any length."""

import torch

from overtone.models.unet import UNet

# Samples of one window: 6 s. Longer ones gain nothing on a CPU and need more memory.
WINDOW = 1 << 18


@torch.inference_mode()
def run_network(net: UNet, samples: torch.Tensor) -> torch.Tensor:
    """Run a network over (channels, time) in windows whose edges are thrown away.

    Each window carries the network's context on both sides, so that the result is that of one run
    over the whole, whatever the windows::

        |---- window 0 ----|ctx|
                       |ctx|---- window 1 ----|ctx|

    The signal is scaled to a peak of 1 as a whole, as segments are in training; never by window.

    Args:
        net: in evaluation mode; windows start at multiples of its ``stride``.
        samples: (channels, time) float32.

    Returns:
        (channels, time) float32 on the same device as the input.
    """
    device = next(net.parameters()).device
    peak = samples.abs().max().clamp_min(1e-9)
    out = torch.empty_like(samples)
    time = samples.shape[-1]
    for start in range(0, time, WINDOW):
        first = max(0, start - net.context)
        window = samples[:, first : start + WINDOW + net.context] / peak
        restored = net(window.to(device)).to(samples.device)
        length = min(WINDOW, time - start)
        out[:, start : start + length] = restored[:, start - first : start - first + length]
    return out * peak
