"""Examples: one file for every system with an output."""

import numpy as np
import soundfile

from overtone.evaluation.comparison import examples

RATE = 44100


def test_every_system_has_a_file_and_the_first_is_the_restored_version(tmp_path):
    names = ["degraded", "original", "noise fill", "model", "../runs/big", "model@HEAD~1"]
    excerpts = {
        name: np.full((1, RATE // 2), (number + 1) / 8, np.float32) for number, name in enumerate(names)
    }
    examples.write(2, excerpts, ["model", "../runs/big", "model@HEAD~1"], RATE, tmp_path)
    written = {path.name: soundfile.read(path)[0][0] for path in tmp_path.iterdir()}
    assert written == {
        "2_degraded.flac": 1 / 8,
        "2_original.flac": 2 / 8,
        "2_restored.flac": 4 / 8,
        "2_..%2Fruns%2Fbig.flac": 5 / 8,
        "2_model@HEAD~1.flac": 6 / 8,
    }
