"""Files are written whole or not at all."""

import json
import math

import pytest

from overtone.core.atomic import write_json


def test_json_comes_back_as_written_and_no_temporary_file_stays(tmp_path):
    values = {"tracks": 2, "systems": {"input": {"snr": {"mean": 1.5, "low": None, "high": None}}}}
    write_json(values, tmp_path / "test.json")
    assert json.loads((tmp_path / "test.json").read_text()) == values
    assert [path.name for path in tmp_path.iterdir()] == ["test.json"]


def test_a_value_that_is_not_finite_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "test.json"
    write_json({"tracks": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"tracks": math.nan}, path)
    assert json.loads(path.read_text()) == {"tracks": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["test.json"]
