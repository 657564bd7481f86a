"""Write the picture and the listening samples of the README from the bundled music.

    python recipes/samples.py

The middle seconds of a clip are resampled to 16 kHz, written as MP3 and restored by the shipped model. The
picture docs/restored.png shows the first clip; docs/samples/ gets input, restored and original as MP3.
"""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from overtone import restore_file
from overtone.cli import spectrogram
from overtone.restoration.files.decode import open_sound
from overtone.restoration.result import Report

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "docs/samples"
# The recording of the first is in no training of the shipped model; those of the others are.
CLIPS = {"hunting_grounds": "900/900022", "palace": "900/900021", "armygeddon": "900/900012"}
SECONDS = 12
LOW = 16000


def clip(number: str) -> tuple[np.ndarray, int]:
    """Read the middle of a bundled clip: (time, channels) float32 and its rate in Hz."""
    with zipfile.ZipFile(ROOT / "data/bundle/fma_mini.zip") as bundle:
        content = io.BytesIO(bundle.read(f"fma_mini/{number}.mp3"))
        samples, rate = soundfile.read(content, dtype="float32", always_2d=True)
    start = (len(samples) - SECONDS * rate) // 2
    return samples[start : start + SECONDS * rate], int(rate)


def restored(name: str, samples: np.ndarray, rate: int, folder: Path) -> tuple[dict[str, Path], Report]:
    """Write the original and the input into a folder and restore the input."""
    original, low = folder / f"{name}.original.wav", folder / f"{name}.mp3"
    soundfile.write(original, samples, rate)
    soundfile.write(low, soxr.resample(samples, rate, LOW), LOW)
    report = restore_file(low, folder / f"{name}.restored.wav")
    return {"input": low, "restored": report.target, "original": original}, report


def main() -> None:
    """Write the picture and the samples."""
    SAMPLES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for index, (name, number) in enumerate(CLIPS.items()):
            files, report = restored(name, *clip(number), Path(temporary))
            print(report.line())
            for version, path in files.items():
                wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
                middle = wave[3 * rate : 9 * rate]
                target = SAMPLES / f"{name}.{version}.mp3"
                # 0.3: about 190 kbit/s, full band.
                soundfile.write(target, middle, rate, format="MP3", compression_level=0.3)
            if not index:
                sounds = {version: open_sound(path) for version, path in files.items()}
                picture = ROOT / "docs/restored.png"
                spectrogram.draw(sounds, picture, SECONDS, report.cutoff.hz, f"{name}.mp3")


if __name__ == "__main__":
    main()
