from dataclasses import dataclass

import pytest

from overtone.core import params
from overtone.core.errors import OvertoneError


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Oven:
    heat: float
    trays: int
    door: str | None
    mix: dict[str, float]
    inner: Inner
    from_: str | None = None


WHOLE = "oven: {heat: 200.0, trays: 2, door: null, mix: {salt: 1}, inner: {sizes: [1, 2]}}"


def read(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.read("oven", Oven, path)


def test_a_group_becomes_its_dataclass(tmp_path):
    assert read(tmp_path, WHOLE) == Oven(200.0, 2, None, {"salt": 1.0}, Inner((1, 2)))


def test_a_key_may_be_a_keyword_of_python(tmp_path):
    made = read(tmp_path, WHOLE.replace("oven: {", "oven: {from: Rome, "))
    assert made.from_ == "Rome"
    assert params.plain(made)["from"] == "Rome"
    with pytest.raises(OvertoneError, match=r"oven\.from is 3; it is a word"):
        read(tmp_path, WHOLE.replace("oven: {", "oven: {from: 3, "))


def test_plain_values_make_the_same_settings_again(tmp_path):
    made = read(tmp_path, WHOLE.replace("oven: {", "oven: {from: Rome, "))
    again = params.plain(made)
    again["inner"]["sizes"] = list(again["inner"]["sizes"])
    assert params.build("oven", Oven, again) == made


@pytest.mark.parametrize(("written", "value"), [("1e-3", 0.001), ("5", 5.0), ("2.5E+1", 25.0)])
def test_a_number_is_a_number_however_it_is_written(tmp_path, written, value):
    assert read(tmp_path, WHOLE.replace("200.0", written)).heat == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("heat:", "heet:"), "oven.heet is not known; oven has heat, trays, door, mix, inner, from"),
        (("trays: 2, ", ""), "oven.trays is missing; add it to params.yaml under 'oven:'"),
        (("trays: 2", "trays: 2.5"), "oven.trays is 2.5; it is a whole number"),
        (("trays: 2", "trays: true"), "oven.trays is True; it is a whole number"),
        (("200.0", "hot"), "oven.heat is 'hot'; it is a number"),
        (("[1, 2]", "3"), "oven.inner.sizes is 3; it is a list, written [a, b, c]"),
        (("[1, 2]", "[a]"), "oven.inner.sizes is 'a'; it is a whole number"),
        (("{salt: 1}", "salt"), "oven.mix is 'salt'; it is a group of 'name: number' lines"),
        (("sizes:", "size:"), "oven.inner.size is not known; oven.inner has sizes"),
        (("oven:", "stove:"), "has no group 'oven:'"),
        (("oven: {", "oven: {{"), "is not valid YAML"),
    ],
)
def test_a_fault_is_one_line_that_quotes_the_key(tmp_path, change, message):
    with pytest.raises(OvertoneError) as caught:
        read(tmp_path, WHOLE.replace(*change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(OvertoneError, match="is missing; run from the folder"):
        params.read("oven", Oven, tmp_path / "params.yaml")
