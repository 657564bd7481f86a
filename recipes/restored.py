"""Draw docs/restored.png: what `overtone restore` makes of a bundled clip, beside what was there.

    python recipes/restored.py

The clip's middle twelve seconds are brought down to 16 kHz and written as MP3, and that is restored.
"""

import io
import tempfile
import zipfile
from pathlib import Path

import soundfile
import soxr

from overtone import restore_file
from overtone.cli import spectrogram

ROOT = Path(__file__).resolve().parents[1]
CLIP = "fma_mini/900/900024.mp3"
SECONDS = 12
LOW = 16000


def main() -> None:
    """Write the picture."""
    with zipfile.ZipFile(ROOT / "data/bundle/fma_mini.zip") as bundle:
        clip, rate = soundfile.read(io.BytesIO(bundle.read(CLIP)), dtype="float32", always_2d=True)
    start = (len(clip) - SECONDS * rate) // 2
    middle = clip[start : start + SECONDS * rate]
    with tempfile.TemporaryDirectory() as folder:
        original, low = Path(folder) / "original.flac", Path(folder) / "sempridge.mp3"
        soundfile.write(original, middle, rate)
        soundfile.write(low, soxr.resample(middle, rate, LOW), LOW)
        report = restore_file(low)
        files = {"the file": low, "restored": report.target, "what was there": original}
        spectrogram.draw(files, ROOT / "docs/restored.png", SECONDS, report.cutoff.hz, low.name)


if __name__ == "__main__":
    main()
