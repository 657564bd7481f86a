"""Load the examples of the evaluate stage, and match their lengths and loudness for comparison."""

import hashlib
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import soundfile

from overtone.audio import resample
from overtone.core.errors import OvertoneError
from overtone.evaluation.listening import loudness

NAME = re.compile(r"(\d+)_(.+)\.flac")
ORIGINAL, DEGRADED, RESTORED = "original", "degraded", "restored"
LOUDNESS = -23.0  # LUFS, at most; EBU R128's, which leaves room for the peaks of nearly all music
CEILING = 10 ** (-1 / 20)  # the highest peak
FADE = 0.01  # seconds at both ends, so that the loop has no click


@dataclass(frozen=True)
class Examples:
    """The sounds of a test.

    Attributes:
        test: the name of this set of files; it changes with any of them.
        sounds: sample -> system -> a WAV file. All versions of a sample have the same length in bytes, so
            the length does not reveal the system.
    """

    test: str
    sounds: Mapping[str, Mapping[str, bytes]]

    @property
    def systems(self) -> list[str]:
        """List the systems: the original first, the degraded second, then by the alphabet."""
        found = {system for sample in self.sounds.values() for system in sample}
        return [ORIGINAL, DEGRADED, *sorted(found - {ORIGINAL, DEGRADED})]


def identify(folder: str | Path) -> tuple[str, dict[str, dict[str, Path]]]:
    """Find the test's name, and sample -> system -> file, without decoding.

    Raises:
        OvertoneError: there are no examples, or a sample lacks one of its three versions.
    """
    files: dict[str, dict[str, Path]] = {}
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.flac")):
        if match := NAME.fullmatch(path.name):
            files.setdefault(match[1], {})[unquote(match[2])] = path
            digest.update(f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    if not files:
        raise OvertoneError(f"{folder} holds no examples (N_original.flac); `dvc repro evaluate` writes them")
    for sample, versions in files.items():
        for needed in (ORIGINAL, DEGRADED, RESTORED):
            if needed not in versions:
                raise OvertoneError(
                    f"{Path(folder) / f'{sample}_{needed}.flac'} is not there; a sample needs it"
                )
    return digest.hexdigest()[:16], dict(sorted(files.items(), key=lambda item: int(item[0])))


def load(folder: str | Path) -> Examples:
    """Read the examples and match them.

    All versions get one loudness (ITU-R BS.1770), within a sample one rate and the shortest length, and
    fades at both ends. The loudness is the highest up to LOUDNESS at which no peak exceeds CEILING.
    """
    test, files = identify(folder)
    read = {sample: _matched(versions) for sample, versions in files.items()}
    levels = {
        (sample, system): loudness.integrated(samples, rate)
        for sample, (rate, versions) in read.items()
        for system, samples in versions.items()
    }
    target = LOUDNESS
    for (sample, system), level in levels.items():
        peak = float(np.abs(read[sample][1][system]).max(initial=0))
        if peak > 0 and math.isfinite(level):
            target = min(target, level + 20 * math.log10(CEILING / peak))
    sounds: dict[str, dict[str, bytes]] = {}
    for sample, (rate, versions) in read.items():
        sounds[sample] = {}
        for system, samples in versions.items():
            level = levels[sample, system]
            gain = 10 ** ((target - level) / 20) if math.isfinite(level) else 1.0
            sounds[sample][system] = _wav(gain * samples, rate)
    return Examples(test, sounds)


def _matched(versions: Mapping[str, Path]) -> tuple[int, dict[str, np.ndarray]]:
    """Read all versions of a sample, resample to the original's rate, cut to the shortest, and fade.

    Returns:
        The rate, and system -> samples. Shape: (channels, time).
    """
    read = {}
    for system, path in versions.items():
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise OvertoneError(f"{path} does not decode: {error.error_string}") from None
        read[system] = (samples.T, rate)
    rate = read[ORIGINAL][1]
    resampled = {system: resample.resample(samples, own, rate) for system, (samples, own) in read.items()}
    length = min(samples.shape[1] for samples in resampled.values())
    if length < 2 * FADE * rate:
        raise OvertoneError(f"{min(versions.values())} and its other versions have no sound to compare")
    ramp = np.ones(length, np.float32)
    fade = round(FADE * rate)
    ramp[:fade] = np.linspace(0, 1, fade)
    ramp[-fade:] = ramp[:fade][::-1]
    return rate, {system: samples[:, :length] * ramp for system, samples in resampled.items()}


def _wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    # Two channels always: the size of a file must not reveal a mono version.
    both = np.broadcast_to(samples, (2, samples.shape[1])) if len(samples) == 1 else samples
    soundfile.write(file, np.clip(both, -1, 1).T, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
