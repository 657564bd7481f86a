"""Distances between a reference and an estimate; each is a finite number.

Conventions: `reference` and `estimate` are float32, full scale = 1, shaped (..., time) alike, arrays of NumPy
or tensors; channels count as one longer signal. Spectra are computed block by block, so a track of minutes
needs little memory; sums are float64. `overtone.evaluation.metrics.registry.SCORES` has what each metric
rewards and what it misses.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from array_api_compat import array_namespace, size

from overtone.audio import stft
from overtone.core.arrays import Array
from overtone.evaluation.metrics import balance, high_band, texture
from overtone.evaluation.metrics.high_band import log_power, mean, total

# (n_fft, hop, window) of the paper's evaluation. It gives sizes and hops but no window lengths: these
# are the ones that its hops come with in Parallel WaveGAN (arXiv 1910.11480), so they are our choice.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
LIMIT = 100.0  # dB; SNR and SI-SDR stay within plus and minus this, also where the formula is infinite
MIN_HIGH_BAND_HZ = 500.0  # Hz from the cutoff to the bandwidth; below that there is no high band to compare


def measure(
    reference: Array, estimate: Array, rate: int, cutoff: float, bandwidth: float
) -> dict[str, float]:
    """Compute the metrics of full tracks, by the keys of `overtone.evaluation.metrics.registry.SCORES`.

    Args:
        reference, estimate: shaped (channels, time) alike.
        rate: their rate in Hz.
        cutoff: lower edge of the high band, in Hz.
        bandwidth: upper edge of the reference's spectrum, in Hz
            (`overtone.audio.bandwidth.measure_bandwidth`). Lossy music ends at 16 to 20 kHz; a comparison
            above that would reward silence.

    Returns:
        Scores by key. Those of the high band are missing if it is narrower than MIN_HIGH_BAND_HZ, the second
        octave if the reference ends in the first, the stereo image unless there are two channels.
    """
    ranges: dict[str, tuple[float, float | None]] = {
        "lsd": (0, bandwidth),
        "lsd_full": (0, None),
        "lsd_low": (0, cutoff),
    }
    has_high_band = bandwidth - cutoff >= MIN_HIGH_BAND_HZ
    if has_high_band:
        ranges["lsd_high"] = (cutoff, bandwidth)
        octaves = high_band.bands(cutoff, bandwidth, per_octave=1)
        ranges |= {f"lsd_octave_{number}": octave for number, octave in enumerate(octaves[:2], start=1)}
    distances = log_spectral_distances(reference, estimate, rate, list(ranges.values()))
    values = dict(zip(ranges, distances, strict=True)) | {
        "si_sdr": si_sdr(reference, estimate),
        "snr": snr(reference, estimate),
        "mrstft": multi_resolution_stft(reference, estimate),
        "clipped": clipped(estimate, rate),
    }
    return values | (measure_high_band(reference, estimate, rate, cutoff, bandwidth) if has_high_band else {})


def measure_high_band(
    reference: Array, estimate: Array, rate: int, low: float, high: float
) -> dict[str, float]:
    """Compute the metrics of `high_band`, `balance` and `texture`, by key, from low to high in Hz."""
    band = (reference, estimate, rate, low, high)
    values = {
        "level_error": high_band.level_error(*band),
        "onsets": high_band.onset_correlation(*band),
        "flatness_error": high_band.flatness_error(*band),
        "partials": high_band.partials_correlation(*band),
    }
    if len(reference) == 2:
        values["image_level"], values["image_coherence"] = high_band.image_error(*band)
    return values | balance.measure(*band) | texture.measure(*band)


def measure_paper(reference: Array, estimate: Array) -> dict[str, float]:
    """Compute the paper's three metrics. They depend on the scale: segments must have the paper's."""
    return {
        "l1": l1(reference, estimate),
        "mse": mse(reference, estimate),
        "stft": paper_stft(reference, estimate),
    }


def l1(reference: Array, estimate: Array) -> float:
    """Compute the mean absolute difference of the samples."""
    return mean(abs(reference - estimate))


def mse(reference: Array, estimate: Array) -> float:
    """Compute the mean squared difference of the samples."""
    return mean((reference - estimate) ** 2)


def paper_stft(reference: Array, estimate: Array) -> float:
    """Compute the STFT loss of the paper's evaluation: the mean over RESOLUTIONS of C + M.

    With linear magnitudes |R| and |E|, C = norm(|R| - |E|) / norm(|R|) in the Frobenius norm (spectral
    convergence) and M = mean(abs(|R| - |E|)), as in Parallel WaveGAN (arXiv 1910.11480, equations 4 to 6)
    but for the logarithm that M has there. The paper names FFT sizes and hops only; the window lengths
    are our choice (see RESOLUTIONS). Where the reference is silent, C is 0 for a silent estimate and
    else 1.
    """
    return _mean_distance(reference, estimate, _magnitude_and_itself)


def _mean_distance(
    reference: Array, estimate: Array, scales: Callable[[Array], tuple[Array, Array]]
) -> float:
    distances = (_stft_distance(reference, estimate, sizes, scales) for sizes in RESOLUTIONS)
    return sum(distances) / len(RESOLUTIONS)


def _stft_distance(
    reference: Array,
    estimate: Array,
    sizes: tuple[int, int, int],
    scales: Callable[[Array], tuple[Array, Array]],
) -> float:
    """Compute C + M at one resolution; ``scales`` maps a spectrum to the values in C and those in M."""
    absolute = squared = energy = 0.0
    count = 0
    pairs = zip(stft.stft_blocks(reference, *sizes), stft.stft_blocks(estimate, *sizes), strict=True)
    for pair in pairs:
        (true, true_level), (estimated, estimated_level) = map(scales, pair)
        absolute += total(abs(true_level - estimated_level))
        squared += total((true - estimated) ** 2)
        energy += total(true**2)
        count += size(true)
    convergence = math.sqrt(squared / energy) if energy > 0 else float(squared > 0)
    return convergence + absolute / count


def multi_resolution_stft(reference: Array, estimate: Array) -> float:
    """Compute the multi-resolution STFT loss with auraloss's constants: the mean over RESOLUTIONS of C + M.

    C = norm(|R| - |E|) / norm(|R|) in the Frobenius norm over all channels, M = mean(abs(ln |R| - ln |E|)),
    with |X| = sqrt(max(|X|^2, 1e-8)) (Yamamoto et al., arXiv 1910.11480). These are the defaults of auraloss
    0.4 with one exception: the signal is zero beyond its ends, where auraloss mirrors it.
    """
    return _mean_distance(reference, estimate, _magnitude_and_log)


def _magnitude_and_itself(spectrum: Array) -> tuple[Array, Array]:
    magnitude = array_namespace(spectrum).abs(spectrum)
    return magnitude, magnitude


def _magnitude_and_log(spectrum: Array) -> tuple[Array, Array]:
    log = log_power(spectrum) * (math.log(10) / 2)
    return array_namespace(log).exp(log), log


def log_spectral_distance(
    reference: Array, estimate: Array, rate: int, low: float = 0, high: float | None = None
) -> float:
    """Compute the log-spectral distance (LSD) in bels of power (1.0 is 10 dB).

    LSD = mean over t of sqrt(mean over f of (log10 max(|R(t,f)|^2, 1e-8) - log10 max(|E(t,f)|^2, 1e-8))^2)
    with a 2048-point Hann STFT, hop 512, over the bins low <= f < high in Hz (up to Nyquist without
    `high`); further channels count as further frames. Publications that take log10 of the magnitude instead
    of the power (floor aside) report half this value.
    """
    return log_spectral_distances(reference, estimate, rate, [(low, high)])[0]


def log_spectral_distances(
    reference: Array, estimate: Array, rate: int, ranges: Sequence[tuple[float, float | None]]
) -> list[float]:
    """Compute `log_spectral_distance` over several ranges (low, high) at the cost of one."""
    chosen = [stft.bins_between(low, high, rate) for low, high in ranges]
    sums, count = [0.0] * len(ranges), 0
    for true, estimated in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        squares = (log_power(true) - log_power(estimated)) ** 2
        xp = array_namespace(squares)
        for number, bins in enumerate(chosen):
            sums[number] += total(xp.sqrt(xp.mean(squares[..., bins, :], axis=-2)))
        count += size(squares[..., 0, :])
    return [value / count for value in sums]


def distance_by_frequency(reference: Array, estimate: Array) -> np.ndarray:
    """Compute the log-spectral difference of each bin, root mean square over time and channels, in bels.

    Shape:
        (..., time) twice -> (1025,), float64; the bins are those of `overtone.audio.stft.frequencies`.
    """
    squared, count = np.zeros(stft.N_FFT // 2 + 1), 0
    for true, estimated in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        difference = np.moveaxis(np.asarray(log_power(true) - log_power(estimated)), -2, -1)
        difference = difference.reshape(-1, len(squared))
        squared += (difference**2).sum(axis=0, dtype=np.float64)
        count += len(difference)
    distance: np.ndarray = np.sqrt(squared / count)
    return distance


def clipped(estimate: Array, rate: int) -> float:
    """Count the samples beyond full scale per second, in the channel that has most of them."""
    xp = array_namespace(estimate)
    beyond = xp.sum(xp.astype(abs(estimate) > 1, xp.float64), axis=-1)
    return float(xp.max(beyond)) * rate / int(estimate.shape[-1])


def snr(reference: Array, estimate: Array) -> float:
    """Compute the signal-to-noise ratio in dB: 10 log10(sum(r^2) / sum((r - e)^2)), within +-LIMIT.

    A silent estimate has 0 dB, a perfect one LIMIT, sound in place of silence -LIMIT.
    """
    error = _energy(reference - estimate)
    return LIMIT if error == 0 else _decibels(_energy(reference), error)


def si_sdr(reference: Array, estimate: Array) -> float:
    """Compute the scale-invariant signal-to-distortion ratio in dB, within +-LIMIT.

    10 log10(sum((a r)^2) / sum((a r - e)^2)) with a = sum(r e) / sum(r^2) (Le Roux et al., "SDR - half-baked
    or well done?", arXiv 1811.02508; no mean is removed). An estimate that is orthogonal to the reference has
    -LIMIT, and so has silence; a perfect one has LIMIT, at any level and of either sign.
    """
    xp = array_namespace(reference)
    exact = xp.astype(reference, xp.float64)
    common = total(exact * estimate)
    if common == 0:
        return -LIMIT
    target = exact * (common / _energy(reference))
    error = _energy(target - estimate)
    return LIMIT if error == 0 else _decibels(_energy(target), error)


def _energy(samples: Array) -> float:
    return total(samples**2)


def _decibels(signal: float, error: float) -> float:
    ratio = 10 * math.log10(signal / error) if signal > 0 else -LIMIT
    return max(-LIMIT, min(LIMIT, ratio))
