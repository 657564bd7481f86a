"""Damaged files end in all of their sound or in one line: 300 of what `bench/fuzz.py` restores 10,000 of."""

import av
import pytest

from bench import fuzz

av.logging.set_level(None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return fuzz.formats(tmp_path_factory.mktemp("formats"))


def test_every_format_is_restored_whole_when_it_is_whole(base, tmp_path):
    net = fuzz.tiny_network()
    for name, data, _ in base:
        path = tmp_path / name
        path.write_bytes(data)
        for suffix in fuzz.TARGETS[:2]:
            ending = fuzz.restore(path, tmp_path / f"out{suffix}", fuzz.SECONDS, net, fuzz.CUTOFF)
            assert ending == ("restored", "", True), name
        path.unlink()


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_no_damage_goes_unnoticed(base, tmp_path, seed):
    ended = [*fuzz.run(base, 100, seed, tmp_path / "inputs")]
    assert [f"{name}: {ending.reason}" for (name, *_), ending in ended if ending.kind == "failed"] == []
    restored = [ending for _, ending in ended if ending.kind == "restored"]
    assert len(restored) > 20
    assert sum(ending.added for ending in restored) > 10
