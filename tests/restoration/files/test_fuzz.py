"""Damaged files end in all of their sound or in one line: 300 of what `bench/fuzz.py` reads 10,000 of."""

import av
import pytest

from bench import fuzz

av.logging.set_level(None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return fuzz.formats(tmp_path_factory.mktemp("formats"))


def test_every_format_is_read_whole_when_it_is_whole(base, tmp_path):
    for name, data, _ in base:
        path = tmp_path / name
        path.write_bytes(data)
        seconds = fuzz.decoded_seconds(path)
        assert seconds is not None, name
        assert abs(seconds - fuzz.SECONDS) < 0.1, (name, seconds)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_no_damage_goes_unnoticed(base, tmp_path, seed):
    path, failed = tmp_path / "input", []
    for name, data, most in fuzz.damaged(base, 100, seed):
        path.write_bytes(data)
        if said := fuzz.fault(path, most):
            failed.append(f"{name}: {said}")
    assert not failed
