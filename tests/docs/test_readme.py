"""The README's numbers are the ones that the committed metrics hold; the commands that we print are sound."""

import json
import re

import pandas as pd
import pytest
import yaml

from overtone.evaluation.metrics.registry import SCORES
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()
RESULTS = json.loads((ROOT / "metrics/test.json").read_text())
KEYS = ("l1", "mse", "stft", "lsd_low", "lsd_high", "snr")


def rows(first_heading):
    """The rows of the table whose first heading is this, as {first cell: other cells}."""
    table = README[README.index(f"| {first_heading} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells}


def shown(system, keys=KEYS):
    return [f"{RESULTS['systems'][system][key]['mean']:.{SCORES[key].decimals}f}" for key in keys]


def test_the_table_is_that_of_the_committed_metrics():
    table = rows("system")
    assert list(table) == list(RESULTS["systems"])
    for system, cells in table.items():
        assert cells == shown(system), system


def test_the_papers_tables_stand_beside_the_committed_metrics():
    table = rows("L1, MSE and STFT loss of")
    assert table["the paper, Table 1"] == ["0.3652", "0.2439", "0.3219"]
    assert table["the paper, Table 2"] == ["0.4785", "0.3805", "0.3366"]
    for system in ("input", "silence", "network alone"):
        row = next(cells for name, cells in table.items() if name.startswith(f"ours: {system}"))
        assert row == shown(system, ("l1", "mse", "stft")), system


@pytest.mark.parametrize(("heading", "result"), [("cutoff", "quality"), ("cutoff, voices", "quality_voices")])
def test_the_shipped_models_lead_is_that_of_the_committed_bench(heading, result):
    table = rows(heading)
    tracks = pd.read_csv(ROOT / f"bench/results/{result}.csv")
    means = tracks.groupby(["cutoff", "system"])[["lsd_high", "visqol"]].mean()
    cutoffs = means.index.unique("cutoff")
    assert list(table) == [f"{cutoff / 1000:g} kHz" for cutoff in cutoffs]
    for cutoff, (distance, visqol) in zip(cutoffs, table.values(), strict=True):
        ours, fills = means.loc[cutoff, "shipped"], means.loc[cutoff].loc[["noise fill", "band replication"]]
        least, most = fills["lsd_high"].min(), fills["visqol"].max()
        lead = f"{100 * (1 - ours['lsd_high'] / least):.1f} %"
        assert distance == f"{lead} lower ({ours['lsd_high']:.2f} against {least:.2f})"
        assert visqol == f"{ours['visqol'] - most:.2f} higher ({ours['visqol']:.2f} against {most:.2f})"


def test_the_talks_with_parts_are_those_of_the_committed_bench():
    text = " ".join(README.split())
    result = (ROOT / "bench/results/parts.md").read_text()
    each = int(re.search(r"(\d+) talks of each kind", result)[1])
    kinds = re.findall(
        r"\| (telephone|wideband) \S+ kHz\) \| [^|]+ \| (\d+) \| \d+ \| (\d+)% \| (\d+)% \|", result
    )
    talks = pd.DataFrame(kinds, columns=["call", "found", "guest", "host"])
    counts = talks.drop(columns="call").astype(int).groupby(talks["call"])
    found, host = counts["found"].sum(), counts["host"].agg(["min", "max"])
    least, most = (counts["guest"].agg(of).agg(of) for of in ("min", "max"))
    assert f"in {found['telephone']} of {2 * each} with a telephone" in text
    assert f"in {found['wideband']} of {2 * each} with a wideband call" in text
    assert f"{least} to {most} % of what guests say lay inside" in text
    assert host.loc["telephone", "min"] == host.loc["telephone", "max"]
    low, high = host.loc["wideband"]
    assert f"{host.loc['telephone', 'min']} % ({low} to {high} % in wideband) of what hosts say" in text
    tracks, with_parts = re.search(
        r"Of (\d+) files of music by themselves, parts are found in (\d+)", result
    ).groups()
    assert (f"Among {tracks} tracks of music it found none" in text) == (with_parts == "0")
    voices, with_parts = re.search(
        r"Of (\d+) files of voices by themselves, parts are found in (\d+)", result
    ).groups()
    assert f"in {with_parts} of {voices} single voices some" in text


def test_every_file_that_it_names_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_stages_are_those_of_the_pipeline():
    dvc = (ROOT / "dvc.yaml").read_text()
    assert re.findall(r"^  (\w+):$", dvc, re.MULTILINE) == [name.strip("`") for name in rows("stage")]


def names(group, above=""):
    """The dotted names of all parameters and groups of them."""
    for key, value in group.items():
        yield above + key
        if isinstance(value, dict):
            yield from names(value, f"{above}{key}.")


PAGES = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.sh")]
PRINTED = [str(path.relative_to(ROOT)) for path in PAGES if " -S " in path.read_text()]


@pytest.mark.parametrize("path", PRINTED)
def test_commands_change_parameters_that_there_are(path):
    text, checked = (ROOT / path).read_text(), 0
    # A script's commands build on each other; a page's are read one by one.
    for part in [text] if path.endswith(".sh") else re.split(r"(?=dvc exp run)", text):
        there = set(names(yaml.safe_load((ROOT / "params.yaml").read_text())))
        for sign, name in re.findall(r"-S\s+'?([~+]?)([a-z0-9_.]+)", part):
            if sign == "+":
                assert name not in there, f"{name} is there already"
                there.add(name)
                name = name.rpartition(".")[0]
            assert name in there, name
            if sign == "~":
                there.remove(name)
            checked += 1
    assert checked
