"""The degrade stage, and all that reads pairs made on the fly."""

import pytest

from tests.helpers.workspace import SYSTEMS


def test_a_bad_param_stops_a_stage_with_one_line_and_code_2(workspace):
    workspace.set("degrade", cutoff=1.4)
    output = workspace.stage("degrade", code=2)
    assert output == (
        "error: degrade.cutoff is 1.4; it is a fraction of the Nyquist frequency, above 0 and below 1\n"
    )
    assert (workspace.folder / "data/pairs/index.csv").is_file(), "nothing is lost"


def test_results_do_not_depend_on_the_number_of_workers(workspace):
    def content():
        folder = workspace.folder / "data/pairs"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    two = content()
    workspace.stage("degrade")
    assert content() == two


@pytest.fixture
def on_the_fly(workspace):
    """The workspace after the stages with `degrade.store: false`, and its results with the halves stored."""
    names = ("metrics/train.json", "metrics/test.json")
    stored = [workspace.json(name) for name in names], workspace.rows("data/segments.csv")
    workspace.set("degrade", store=False)
    for stage in ("degrade", "segment", "train", "evaluate"):
        workspace.stage(stage)
    return workspace, stored


def test_all_stages_get_the_same_from_pairs_made_on_the_fly(on_the_fly):
    workspace, ((train, test), segments) = on_the_fly
    step = 1 / 32767
    for row, other in zip(segments, workspace.rows("data/segments.csv"), strict=True):
        for key in ("split", "track_id", "pair", "start", "length", "peak_original"):
            assert row[key] == other[key]
        assert float(row["peak_degraded"]) == pytest.approx(float(other["peak_degraded"]), abs=1.01 * step)
    again = workspace.json("metrics/train.json")
    for key in ("train_loss", "validation_loss"):
        assert again[key] == pytest.approx(train[key], rel=0.002)
    systems = workspace.json("metrics/test.json")["systems"]
    assert list(systems) == SYSTEMS
    for name, metrics in test["systems"].items():
        for key, interval in metrics.items():
            # Flatness and comb look at the deepest valleys of a spectrum, where a step is much; and a
            # network whose batches differed by steps has other weights, which nothing covers up where it
            # stands alone.
            valleys = key in ("flatness_error", "comb_change")
            loose = valleys or name.startswith("network alone")
            # An SNR or a comb may be near 0 dB, of which a share is nothing.
            near_zero = 0.1 if loose and key in ("snr", "comb_change") else 0.01
            near = pytest.approx(interval["mean"], rel=0.1 if loose else 0.01, abs=near_zero)
            assert systems[name][key]["mean"] == near, (name, key)
    examples = {path.name for path in (workspace.folder / "data/examples").iterdir()}
    assert examples == {"1_degraded.flac", "1_restored.flac", "1_original.flac"}


def test_another_cutoff_leaves_the_originals_as_they_are_and_changes_all_that_is_degraded(workspace):
    def content():
        return {path.name: path.read_bytes() for path in (workspace.folder / "data/pairs").iterdir()}

    old = workspace.json("metrics/test.json")
    workspace.set("degrade", store=False)
    workspace.stage("degrade")
    before = content()
    workspace.set("degrade", cutoff=0.5)
    for stage in ("degrade", "segment", "evaluate"):
        workspace.stage(stage)
    after = content()
    assert {name for name in after if before.get(name) != after[name]} == {"degrade.json"}
    assert workspace.json("metrics/test.json")["systems"]["input"] != old["systems"]["input"]
