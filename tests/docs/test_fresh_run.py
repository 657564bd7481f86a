"""A run of the bundled default on this machine scores as the committed one, within rounding of processors.

Compared only where a run is here that used the committed parameters: after `make`, say.
"""

import json
import subprocess

import pytest

from tests.helpers import ROOT

# In float32, two processors (an EPYC with AVX-512 and one without) differed by up to 0.005 bel, 0.12 dB in
# SNR and 0.1 dB in level. Ten times that is still nothing that a reader would take for another result.
TOLERANCE = {"lsd_high": 0.05, "lsd": 0.05, "lsd_low": 0.1, "snr": 1.2, "level_error": 1.0, "stft": 0.02}


def committed(path):
    return subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True).stdout


def test_a_fresh_run_scores_as_the_committed_one():
    if committed("params.yaml") != (ROOT / "params.yaml").read_text(encoding="utf-8"):
        pytest.skip("params.yaml is not the committed one")
    before = json.loads(committed("metrics/test.json"))["systems"]
    here = json.loads((ROOT / "metrics/test.json").read_text(encoding="utf-8"))["systems"]
    assert {*before} - {"network alone, aligned"} <= {*here}
    for system in {*before} & {*here}:
        for key, tolerance in TOLERANCE.items():
            ours, theirs = here[system][key]["mean"], before[system][key]["mean"]
            assert ours == pytest.approx(theirs, abs=tolerance), f"{system}: {key}"
