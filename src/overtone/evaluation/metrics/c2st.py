"""A probe: can a simple classifier tell restored treble from real? The nearer to a half, the better."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from overtone.audio import stft
from overtone.core.errors import OvertoneError

BANDS = 16  # between the cutoff and the bandwidth, equally wide on the mel scale
SECONDS = 1.0  # of sound in an example
FOLDS = 5  # at most; fewer where there are fewer tracks
LEAST = 5  # tracks for a column of the pipeline's table: with fewer, what is learned is those tracks' own
EXCERPT_SECONDS = 30.0  # seconds in the middle of a take that the pipeline gives it
FLOOR = 1e-8  # of the power in a band, as in the log-spectral distance


def features(samples: Tensor, rate: int, low: float, high: float) -> np.ndarray:
    """What the probe sees of each second: how loud each band is and how it moves.

    For each of BANDS mel bands from low to high in Hz: the mean over time of the log power (mean over
    channels), its standard deviation, and the mean absolute change from frame to frame.

    Shape:
        (channels, time) -> (seconds, 3 * BANDS), float64; what is left after the last whole second is
        left out.
    """
    power = torch.cat([_weights(rate, low, high) @ _power(b) for b in stft.stft_blocks(samples)], dim=-1)
    frames = round(SECONDS * rate / stft.HOP)
    logs = power.clamp(min=FLOOR).log10().double()
    whole = logs[:, : logs.shape[1] // frames * frames].reshape(BANDS, -1, frames)
    parts = (whole.mean(-1), whole.std(-1), whole.diff(dim=-1).abs().mean(-1))
    return torch.cat(parts).T.numpy()


def accuracy(real: Mapping[str, np.ndarray], made: Mapping[str, np.ndarray]) -> float:
    """The share of seconds that logistic regression puts right, 0 to 1, on tracks it did not learn from.

    Both map a track to its `features`. Tracks are dealt into up to FOLDS folds; each fold is judged by a
    classifier that learned from the others, features scaled to unit variance, scikit-learn's default
    penalty. Every track counts the same for both kinds.

    Raises:
        OvertoneError: there are fewer than two tracks.
    """
    return float(np.mean(np.concatenate(list(_right(real, made).values()))))


def by_track(real: Mapping[str, np.ndarray], made: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`accuracy` of the seconds of each track that has any."""
    return {track: float(np.mean(right)) for track, right in _right(real, made).items() if len(right)}


def _right(real: Mapping[str, np.ndarray], made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Track -> for each of its seconds, real ones first, whether it was put right."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tracks = sorted(real.keys() & made.keys())
    if len(tracks) < 2:
        raise OvertoneError(f"the probe has {len(tracks)} tracks; it is cross-validated and takes 2 or more")
    rows, labels, groups = [], [], []
    for number, track in enumerate(tracks):
        for label, examples in enumerate((real[track], made[track])):
            rows.append(examples)
            labels += [label] * len(examples)
            groups += [number] * len(examples)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = GroupKFold(min(FOLDS, len(tracks)))
    said = cross_val_predict(classifier, np.concatenate(rows), labels, groups=groups, cv=folds)
    right = said == np.array(labels)
    return {track: right[np.array(groups) == number] for number, track in enumerate(tracks)}


def _weights(rate: int, low: float, high: float) -> Tensor:
    """Which bins make up which band, each row's weights summing to 1: (BANDS, bins)."""
    hertz = stft.frequencies(rate)
    mel = 2595 * (1 + torch.tensor([low, high], dtype=torch.float64) / 700).log10()
    edges = 700 * (
        10 ** (torch.linspace(float(mel[0]), float(mel[1]), BANDS + 1, dtype=torch.float64) / 2595) - 1
    )
    rows = ((hertz >= edges[:-1, None]) & (hertz < edges[1:, None])).float()
    return rows / rows.sum(-1, keepdim=True).clamp(min=1)


def _power(spectrum: Tensor) -> Tensor:
    return (spectrum.real.square() + spectrum.imag.square()).mean(0)
