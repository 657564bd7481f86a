"""What is known of common resamplers, against the resamplers themselves."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile
import torch
from scipy import signal
from torchaudio import functional

from overtone.audio.resampler_losses import COMMON, FREQUENCIES, half_power

RATE, LOW = 44100, 16000


def by_ffmpeg(samples, folder):
    soundfile.write(folder / "in.wav", samples, RATE, subtype="FLOAT")
    for source, target, rate in (("in", "low", LOW), ("low", "out", RATE)):
        command = ["ffmpeg", "-loglevel", "error", "-i", folder / f"{source}.wav", "-ar", str(rate)]
        subprocess.run([*command, "-c:a", "pcm_f32le", folder / f"{target}.wav"], check=True)
    return soundfile.read(folder / "out.wav")[0]


def by_torchaudio(samples, folder):
    low = functional.resample(torch.from_numpy(samples), RATE, LOW)
    return functional.resample(low, LOW, RATE).numpy()


def by_scipy(samples, folder):
    return signal.resample_poly(signal.resample_poly(samples, 160, 441), 441, 160)


@pytest.mark.parametrize("number", range(3), ids=["ffmpeg", "torchaudio", "scipy"])
def test_losses_are_those_of_the_resampler(rng, tmp_path, number):
    resample, known = (by_ffmpeg, by_torchaudio, by_scipy)[number], COMMON[number]
    if resample is by_ffmpeg and not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not here")
    samples = rng.normal(0, 0.1, 30 * RATE)
    before, after = (
        signal.welch(x, RATE, window="blackmanharris", nperseg=2048)
        for x in (samples, resample(samples, tmp_path))
    )
    measured = 10 * np.log10(
        np.interp(FREQUENCIES * LOW / 2, *before) / np.interp(FREQUENCIES * LOW / 2, *after)
    )
    looked_at = known.loss < 30
    assert looked_at.mean() > 0.5
    assert np.abs(measured - known.loss)[looked_at].max() < 1


def test_half_power_is_where_3_db_are_lost():
    for known in COMMON:
        assert np.interp(half_power(known.loss), FREQUENCIES, known.loss) == pytest.approx(3, abs=1e-6)
