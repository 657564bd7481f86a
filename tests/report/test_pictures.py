"""The pictures of a run: which rows get a colour, and from where on silence is nearest."""

import pandas as pd
import pytest

from overtone.report import pictures

KINDS = {
    "input": "baseline",
    "silence": "baseline",
    "copy": "system",
    "copy alone": "network",
    "sox": "system",
    "sox alone": "network",
}


def table(ended):
    rows = [
        {"system": name, "kind": kind, "frequency_hz": 100.0 * step, "distance_bel": 1.0, "ended": share}
        for name, kind in KINDS.items()
        for step, share in enumerate(ended)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("most", "shown"),
    [(7, [*KINDS]), (4, ["input", "silence", "copy", "sox"]), (2, ["input", "copy"])],
)
def test_systems_come_before_baselines_and_before_networks_alone(most, shown):
    assert pictures.choose_rows(table([0.0]), most) == shown


@pytest.mark.parametrize(("ended", "hertz"), [((0, 0.4, 0.5, 1), 200.0), ((0, 0, 0.1, 0.2), 300.0)])
def test_half_of_the_originals_have_ended_where_the_table_says_so(ended, hertz):
    assert pictures.half_ended(table(ended)) == hertz
