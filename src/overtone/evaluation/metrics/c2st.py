"""A classifier two-sample test (C2ST): can a simple classifier separate restored high bands from real ones?

An accuracy near a half means that it cannot. Source: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample
Tests", arXiv 1610.06545.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from overtone.audio import stft
from overtone.core.errors import OvertoneError

BANDS = 16  # between the cutoff and the bandwidth, equally wide on the mel scale
SECONDS = 1.0  # of sound in an example
FOLDS = 5  # at most; fewer where there are fewer tracks
MIN_TRACKS = (
    5  # test tracks below which the pipeline leaves the metric out: the classifier would learn tracks
)
EXCERPT_SECONDS = 30.0  # seconds from the middle of a chunk that the pipeline uses
POWER_FLOOR = 1e-8  # of the power in a band, as in the log-spectral distance


def features(samples: Tensor, rate: int, low: float, high: float) -> np.ndarray:
    """Compute level and movement of each mel band for each second.

    For each of BANDS mel bands from low to high in Hz: the mean over time of the log power (mean over
    channels), its standard deviation, and the mean absolute change from frame to frame.

    Shape:
        (channels, time) -> (seconds, 3 * BANDS), float64; samples after the last full second are left out.
    """
    weights = _band_weights(rate, low, high)
    power = torch.cat([weights @ _power(block) for block in stft.stft_blocks(samples)], dim=-1)
    frames = round(SECONDS * rate / stft.HOP)
    logs = power.clamp(min=POWER_FLOOR).log10().double()
    by_second = logs[:, : logs.shape[1] // frames * frames].reshape(BANDS, -1, frames)
    statistics = (by_second.mean(-1), by_second.std(-1), by_second.diff(dim=-1).abs().mean(-1))
    return torch.cat(statistics).T.numpy()


def accuracy(real: Mapping[str, np.ndarray], restored: Mapping[str, np.ndarray]) -> float:
    """Compute the share of seconds, 0 to 1, that logistic regression classifies correctly on unseen tracks.

    Tracks are divided into up to FOLDS folds. Each fold is classified by a model that was fitted on the other
    folds, with features scaled to unit variance and scikit-learn's default penalty.

    Args:
        real, restored: track -> its `features`.

    Raises:
        OvertoneError: there are fewer than two tracks.
    """
    return float(np.mean(np.concatenate(list(_correct(real, restored).values()))))


def by_track(real: Mapping[str, np.ndarray], restored: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compute `accuracy` for the seconds of each track that has any."""
    correct = _correct(real, restored)
    return {track: float(np.mean(seconds)) for track, seconds in correct.items() if len(seconds)}


def _correct(real: Mapping[str, np.ndarray], restored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Map each track to whether each of its seconds, real ones first, was classified correctly."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tracks = sorted(real.keys() & restored.keys())
    if len(tracks) < 2:
        few = "1 track" if tracks else "no tracks"
        raise OvertoneError(
            f"the classifier two-sample test is cross-validated over 2 tracks or more, not {few}"
        )
    examples, labels, groups = [], [], []
    for number, track in enumerate(tracks):
        for label, of_track in enumerate((real[track], restored[track])):
            examples.append(of_track)
            labels += [label] * len(of_track)
            groups += [number] * len(of_track)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = GroupKFold(min(FOLDS, len(tracks)))
    predicted = cross_val_predict(classifier, np.concatenate(examples), labels, groups=groups, cv=folds)
    correct = predicted == np.array(labels)
    return {track: correct[np.array(groups) == number] for number, track in enumerate(tracks)}


def _band_weights(rate: int, low: float, high: float) -> Tensor:
    """Compute the weight of each bin in each mel band, (BANDS, bins); the weights of a band sum to 1."""
    hertz = torch.from_numpy(stft.frequencies(rate))
    mel = 2595 * (1 + torch.tensor([low, high], dtype=torch.float64) / 700).log10()
    edges = 700 * (
        10 ** (torch.linspace(float(mel[0]), float(mel[1]), BANDS + 1, dtype=torch.float64) / 2595) - 1
    )
    inside = ((hertz >= edges[:-1, None]) & (hertz < edges[1:, None])).float()
    return inside / inside.sum(-1, keepdim=True).clamp(min=1)


def _power(spectrum: Tensor) -> Tensor:
    return (spectrum.real.square() + spectrum.imag.square()).mean(0)
