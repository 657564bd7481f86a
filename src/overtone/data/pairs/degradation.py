"""Degrade music: resample to a low rate and back, then low-pass; the pair stays aligned to the sample."""

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torchaudio.functional import resample as sinc_resample

from overtone.core.params import check, check_choice

FILTERS = ("biquad", "butterworth", "chebyshev1", "elliptic", "bessel", "none")

# The lowest and the highest cutoff in Hz that `overtone.restoration.stream.restorer` accepts.
CUTOFFS = (500.0, 22050.0)


@dataclass(frozen=True)
class DegradeSettings:
    """The group ``degrade`` of params.yaml.

    Attributes:
        rate: rate of the pairs, in Hz.
        channels: ``mono`` mixes down, as the paper does; ``separate`` writes a pair per channel; ``side``
            keeps half the difference of left and right.
        low_rate: rate that the signal goes through, in Hz.
        interpolation: way back up: ``sinc`` (the authors' code) or ``linear`` (their text).
        filter: kind of low-pass; ``biquad`` is the authors' second-order one.
        cutoff: corner of the low-pass as a fraction of the low rate's Nyquist frequency.
        order: order of the filter; the biquad's is 2.
        phase: ``one_way`` runs the filter forwards and takes out its group delay at 0 Hz in whole
            samples; ``zero`` runs it forwards and backwards, which doubles its attenuation in dB.
        ripple_db: passband ripple of chebyshev1 and elliptic.
        stopband_db: attenuation of the elliptic filter's stopband.
        tracks_per_shard: tracks that one worker writes into one file.
        store: whether the degraded half of every pair is written beside the original; with false it is
            computed when it is read (`overtone.data.dataset.on_the_fly`).
    """

    rate: int
    channels: str
    low_rate: int
    interpolation: str
    filter: str
    cutoff: float
    order: int
    phase: str
    ripple_db: float
    stopband_db: float
    tracks_per_shard: int
    store: bool = True

    def __post_init__(self) -> None:
        check(8000 <= self.rate <= 192000, "degrade.rate", self.rate, "a rate in Hz, 8000 to 192000")
        check_choice("degrade.channels", self.channels, ("mono", "separate", "side"))
        check(
            1000 <= self.low_rate <= self.rate,
            "degrade.low_rate",
            self.low_rate,
            f"a rate in Hz, 1000 to degrade.rate ({self.rate})",
        )
        check_choice("degrade.interpolation", self.interpolation, ("sinc", "linear"))
        check_choice("degrade.filter", self.filter, FILTERS)
        check(
            0 < self.cutoff < 1,
            "degrade.cutoff",
            self.cutoff,
            "a fraction of the Nyquist frequency, above 0 and below 1",
        )
        check(1 <= self.order <= 24, "degrade.order", self.order, "a filter order, 1 to 24")
        if self.filter == "biquad":
            check(self.order == 2, "degrade.order", self.order, "2 for the biquad; other filters take any")
        check_choice("degrade.phase", self.phase, ("one_way", "zero"))
        check(0 < self.ripple_db <= 6, "degrade.ripple_db", self.ripple_db, "a ripple in dB, above 0 up to 6")
        check(
            self.ripple_db < self.stopband_db <= 200,
            "degrade.stopband_db",
            self.stopband_db,
            "an attenuation in dB, above degrade.ripple_db and up to 200",
        )
        top = min(self.rate / 2, CUTOFFS[1])
        fraction = "" if self.filter == "none" else "degrade.cutoff * "
        key = f"{fraction}degrade.low_rate / 2, the cutoff in Hz,"
        check(CUTOFFS[0] <= self.cutoff_hz <= top, key, self.cutoff_hz, f"{CUTOFFS[0]:g} to {top:g}")
        tracks = self.tracks_per_shard
        check(tracks >= 1, "degrade.tracks_per_shard", tracks, "a whole number, 1 or more")

    @property
    def cutoff_hz(self) -> float:
        """Frequency in Hz above which the degraded signal counts as lost."""
        nyquist = self.low_rate / 2
        return nyquist if self.filter == "none" else self.cutoff * nyquist


def degrade(samples: torch.Tensor, settings: DegradeSettings) -> torch.Tensor:
    """Band-limit a signal as the paper's section 3.2 does.

    Args:
        samples: (channels, time) float32 at ``settings.rate``.

    Returns:
        The same shape, aligned with the input to the sample.
    """
    limited = through_low_rate(samples, settings)
    if settings.filter == "none":
        return limited
    return lowpass(limited, sections(settings), settings.phase)


def through_low_rate(samples: torch.Tensor, settings: DegradeSettings) -> torch.Tensor:
    """Resample (channels, time) down and up again, on their device; same shape.

    torchaudio's default sinc kernel is what the authors' code uses.
    """
    time = samples.shape[-1]
    low: torch.Tensor = sinc_resample(samples, settings.rate, settings.low_rate)
    if settings.interpolation == "sinc":
        up: torch.Tensor = sinc_resample(low, settings.low_rate, settings.rate)
        return up[..., :time]
    # Sample n at the high rate lies at n * low_rate / rate among the low-rate samples. float64,
    # because float32 cannot number the samples of a long track to a fraction; on the CPU, because
    # Apple's devices have no float64.
    where = torch.arange(time, dtype=torch.float64) * (settings.low_rate / settings.rate)
    left = where.long().clamp_(max=low.shape[-1] - 1)
    right = (left + 1).clamp_(max=low.shape[-1] - 1)
    weight = (where - left).to(samples)
    left, right = left.to(samples.device), right.to(samples.device)
    return low[..., left] * (1 - weight) + low[..., right] * weight


def sections(settings: DegradeSettings) -> np.ndarray:
    """Design the low-pass as second-order sections, shape (sections, 6).

    The biquad is the Audio EQ Cookbook's low-pass (R. Bristow-Johnson) with Q = 0.707, which is what
    ``torchaudio.functional.lowpass_biquad`` computes; that one runs as a Python loop at 1.5 times
    real time, so the sections are run by SciPy. The corner is at -3 dB for butterworth, bessel and
    biquad, and at the end of the ripple for chebyshev1 and elliptic; ``phase: zero`` doubles both.
    """
    corner, rate, order = settings.cutoff_hz, settings.rate, settings.order
    match settings.filter:
        case "biquad":
            angle = 2 * np.pi * corner / rate
            alpha = np.sin(angle) / (2 * 0.707)
            edge = 1 - np.cos(angle)
            row = np.array([edge / 2, edge, edge / 2, 1 + alpha, -2 * np.cos(angle), 1 - alpha])
            sos = (row / row[3])[None]
        case "butterworth":
            sos = scipy.signal.butter(order, corner, fs=rate, output="sos")
        case "chebyshev1":
            sos = scipy.signal.cheby1(order, settings.ripple_db, corner, fs=rate, output="sos")
        case "elliptic":
            sos = scipy.signal.ellip(
                order, settings.ripple_db, settings.stopband_db, corner, fs=rate, output="sos"
            )
        case "bessel":
            sos = scipy.signal.bessel(order, corner, norm="mag", fs=rate, output="sos")
    return np.asarray(sos)


def lowpass(samples: torch.Tensor, sos: np.ndarray, phase: str) -> torch.Tensor:
    """Filter (channels, time) without delay: zero-phase, or one-way with its delay at 0 Hz taken out."""
    array = samples.numpy()
    if phase == "zero":
        # Zeros at the ends, as after a cut: the start of a part must not depend on an extension.
        forward = scipy.signal.sosfilt(sos, array)
        both = scipy.signal.sosfilt(sos, forward[..., ::-1])[..., ::-1]
        return torch.from_numpy(np.ascontiguousarray(both, dtype=np.float32))
    delay = round(group_delay(sos))
    padded = np.pad(array, ((0, 0), (0, delay)))
    return torch.from_numpy(scipy.signal.sosfilt(sos, padded)[..., delay:].astype(np.float32))


def group_delay(sos: np.ndarray) -> float:
    """Compute the group delay at 0 Hz in samples, summed over the sections.

    For b(z)/a(z) at z = 1 it is sum(n b_n) / sum(b_n) - sum(n a_n) / sum(a_n).
    """
    n = np.arange(3)
    b, a = sos[:, :3], sos[:, 3:]
    return float(np.sum(b @ n / b.sum(1) - a @ n / a.sum(1)))
