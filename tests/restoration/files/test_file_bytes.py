"""A file's bytes, read in blocks, are those of a bytes object: indices, slices, searches."""

import os
import random
import re

import pytest

from overtone.restoration.files import file_bytes
from overtone.restoration.files.file_bytes import FileBytes

# Letters so few that marks are found often, over the blocks' ends too.
CONTENT = bytes(random.Random(1).choices(b"\0ab", k=3000))
MARKS = (b"a", b"ab", b"abab", b"bbbbbb", b"abc")


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(file_bytes, "BLOCK", 64)
    monkeypatch.setattr(file_bytes, "SEARCHED", 100)
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


def test_slices_and_indices_are_those_of_bytes(path):
    draw = random.Random(2)
    with FileBytes(path) as data:
        assert len(data) == len(CONTENT)
        for _ in range(2000):
            start = draw.randrange(len(CONTENT) + 20)
            stop = start + draw.choice([0, 4, 60, 64, 65, 500, 5000])
            assert data[start:stop] == CONTENT[start:stop]
            if start < len(CONTENT):
                assert data[start] == CONTENT[start]
        assert data[:7] == CONTENT[:7]
        with pytest.raises(IndexError):
            data[len(CONTENT)]


@pytest.mark.parametrize("ahead", [True, False])
def test_searches_are_those_of_bytes(path, ahead):
    draw = random.Random(3)
    starts = [draw.randrange(len(CONTENT) + 5) for _ in range(1000)]
    with FileBytes(path) as data:
        for start in sorted(starts) if ahead else starts:
            mark = draw.choice(MARKS)
            assert data.find(mark, start) == CONTENT.find(mark, start)
            assert data.find(mark, start, start + 90) == CONTENT.find(mark, start, start + 90)


def test_patterns_are_found_over_the_ends_of_blocks(path):
    pattern = re.compile(rb"a.{5}bb", re.DOTALL)
    with FileBytes(path) as data:
        # Matches in another block may overlap the one before: each begins where the pattern does.
        found = list(data.positions(pattern, 5))
        assert {match.start() for match in pattern.finditer(CONTENT, 5)} & set(found)
        assert all(data.begins(pattern, at) and pattern.match(CONTENT, at) for at in found)
        lonely = re.compile(rb"bbbbbbb")
        assert list(data.positions(lonely, 0)) == [match.start() for match in lonely.finditer(CONTENT)]


def test_zeros_are_told_from_others(path):
    path.write_bytes(bytes(950) + b"a" + bytes(150))
    with FileBytes(path) as data:
        assert data.is_zero(0, 950)
        assert data.is_zero(951, 1101)
        assert not data.is_zero(0, 951)
        assert data.is_zero(7, 7)


def test_a_file_that_gets_shorter_meanwhile_is_zeros_there(path):
    with FileBytes(path) as data:
        os.truncate(path, 10)
        assert data[:20] == CONTENT[:10] + bytes(10)
        assert data[2000:2004] == bytes(4)
