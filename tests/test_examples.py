"""examples: every system that gave output can be listened to."""

import numpy as np
import soundfile

from overtone import examples

RATE = 44100


def test_every_system_has_a_file_and_the_first_is_the_restored_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/examples", "plots/spectrograms"):
        (tmp_path / folder).mkdir(parents=True)
    names = ["degraded", "original", "noise fill", "model", "../runs/big", "model@HEAD~1"]
    excerpts = {
        name: np.full((1, RATE // 2), (place + 1) / 8, np.float32) for place, name in enumerate(names)
    }
    drawn = examples.show(2, excerpts, ["model", "../runs/big", "model@HEAD~1"], RATE, 4800.0, "a song")
    assert {*drawn} == {"degraded", "restored", "original"}
    written = {path.name: soundfile.read(path)[0][0] for path in (tmp_path / "data/examples").iterdir()}
    assert written == {
        "2_degraded.flac": 1 / 8,
        "2_original.flac": 2 / 8,
        "2_restored.flac": 4 / 8,
        "2_..%2Fruns%2Fbig.flac": 5 / 8,
        "2_model@HEAD~1.flac": 6 / 8,
    }
    assert (tmp_path / "plots/spectrograms/2.png").is_file()
