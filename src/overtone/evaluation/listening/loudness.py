"""Measure integrated loudness by ITU-R BS.1770-4, in LUFS."""

import numpy as np
import pyloudnorm

BLOCK = 0.4  # seconds


def integrated(samples: np.ndarray, rate: int) -> float:
    """Measure the loudness of samples in LUFS; minus infinity where all of it is below the gate.

    The K-weighting is the class "DeMan" of pyloudnorm: BS.1770's filters at any rate. Its default class is
    0.05 dB off at 997 Hz. A sound shorter than one gating block is one block.

    Shape:
        samples: (channels, time), 5 channels at most.

    Source: B. De Man, "Evaluation of Implementations of the EBU R128 Loudness Measurement", AES 145, 2018.
    """
    block = min(BLOCK, samples.shape[1] / rate)
    meter = pyloudnorm.Meter(rate, filter_class="DeMan", block_size=block)
    return float(meter.integrated_loudness(samples.T.astype(np.float64)))
