"""Data and models shared with colleagues, docs/sharing.md."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.workspace import ALL, stages_run


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_second_clone_pulls_data_and_model_and_repeats_nothing(workspace, tmp_path, request, kind):
    variables, address = {}, str(tmp_path / "remote")
    if kind == "s3":
        store = request.getfixturevalue("object_store")
        store.client.create_bucket(Bucket="team")
        variables, address = store.variables, "s3://team/overtone"
    workspace.run("dvc", "remote", "add", "--default", "team", address)
    workspace.commit()
    workspace.run("dvc", "push", **variables)
    printed = workspace.run(sys.executable, "tools/push_runs.py", **variables)
    assert int(re.fullmatch(r"(\d+) runs are there, [1-9]\d* of their outputs new\n", printed)[1]) >= len(ALL)
    clone = workspace.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "--run-cache", **variables)
    weights = "data/model/weights.safetensors"
    assert (clone.folder / weights).read_bytes() == (workspace.folder / weights).read_bytes()
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")
    # Without its lock, and without the metrics that Git has, it knows nothing of what was run; the run-cache
    # does.
    (clone.folder / "dvc.lock").unlink()
    shutil.rmtree(clone.folder / "metrics")
    shutil.rmtree(clone.folder / "plots")
    output = clone.run("dvc", "repro", "--pull", **variables)
    assert sorted(re.findall(r"Stage '(\w+)' is cached", output)) == sorted(ALL)
    assert not stages_run(output)
    assert clone.json("metrics/test.json") == workspace.json("metrics/test.json")


def test_runs_without_a_remote_are_one_line(workspace):
    result = subprocess.run(
        [sys.executable, "tools/push_runs.py"],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert re.fullmatch(r"error: the runs cannot be pushed: .*no remote specified.*\n", result.stderr)


def test_samples_kept_in_an_object_store_change_no_result(workspace, object_store):
    object_store.client.create_bucket(Bucket="samples")
    kept = workspace.json("metrics/train.json"), workspace.json("metrics/test.json")
    index = (workspace.folder / "data/pairs/index.csv").read_bytes()
    store = object_store.variables | {"OVERTONE_SHARDS": "s3://samples/shards"}
    assert "at s3://samples/shards" in workspace.run(
        "dvc", "repro", "--force", "--single-item", "degrade", **store
    )
    assert sorted(path.name for path in (workspace.folder / "data/pairs").iterdir()) == [
        "index.csv",
        "left_out.csv",
        "shards.csv",
        "store.txt",
    ]
    assert (workspace.folder / "data/pairs/index.csv").read_bytes() == index
    objects = object_store.client.list_objects(Bucket="samples")["Contents"]
    digests = {row["sha1"] for row in workspace.rows("data/pairs/shards.csv")}
    assert {one["Key"] for one in objects} == {f"shards/{digest}.i16" for digest in digests}
    # Whoever has the tables reads from there.
    changed = json.loads(workspace.run("dvc", "status", "--json", **object_store.variables))
    assert set(changed) == {"segment", "train", "evaluate"}
    for name in ("metrics/train.json", "metrics/test.json"):
        (workspace.folder / name).unlink()
    for stage in ("segment", "train", "evaluate"):  # here, which saves loading PyTorch three times
        workspace.stage(stage, **object_store.variables)
    assert (workspace.json("metrics/train.json"), workspace.json("metrics/test.json")) == kept
