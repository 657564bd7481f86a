"""Figures in README.md and docs/ are those of committed results; the commands that they print are sound."""

import json
import re
import subprocess

import pandas as pd
import pytest
import yaml

from overtone.evaluation.metrics.registry import SCORES
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
KEYS = ("l1", "mse", "stft", "lsd_low", "lsd_high", "snr")


def committed(path):
    """A file as it was committed: an experiment changes the working tree's and must not break these tests."""
    shown = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True)
    # A source archive has no Git: what it holds was committed.
    return shown.stdout if not shown.returncode else (ROOT / path).read_text(encoding="utf-8")


def rows(page, first_heading):
    """The rows of a table by its first heading, as {first cell: other cells}."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text[text.index(f"| {first_heading} |".replace("  ", " ")) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells}


@pytest.fixture(scope="module")
def results():
    return json.loads(committed("metrics/test.json"))["systems"]


def shown(results, system, keys=KEYS):
    return [f"{results[system][key]['mean']:.{SCORES[key].decimals}f}" for key in keys]


def test_the_table_of_the_bundled_default_is_that_of_the_committed_metrics(results):
    table = rows("docs/training.md", "system")
    assert list(table) == list(results)
    for system, cells in table.items():
        assert cells == shown(results, system), system


def test_the_papers_tables_stand_beside_the_committed_metrics(results):
    table = rows("docs/paper.md", "L1, MSE and STFT loss of")
    assert table["the paper, Table 1"] == ["0.3652", "0.2439", "0.3219"]
    assert table["the paper, Table 2"] == ["0.4785", "0.3805", "0.3366"]
    for system in ("input", "silence", "network alone"):
        row = next(cells for name, cells in table.items() if name.startswith(f"ours: {system}"))
        assert row == shown(results, system, ("l1", "mse", "stft")), system


@pytest.mark.parametrize(
    ("music", "result"), [("recordings", "quality_real"), ("games' music", "quality")], ids=["real", "games"]
)
def test_the_shipped_models_lead_is_that_of_the_committed_bench(music, result):
    table = rows("README.md", f"cutoff, {music}")
    tracks = pd.read_csv(ROOT / f"bench/results/{result}.csv")
    means = tracks.groupby(["cutoff", "system"])[["lsd_high", "visqol"]].mean()
    cutoffs = means.index.unique("cutoff")
    assert list(table) == [f"{cutoff / 1000:g} kHz" for cutoff in cutoffs]
    for cutoff, cells in zip(cutoffs, table.values(), strict=True):
        ours, fills = means.loc[cutoff, "shipped"], means.loc[cutoff].loc[["noise fill", "band replication"]]
        least, most = fills["lsd_high"].min(), fills["visqol"].max()
        lead = 100 * (1 - ours["lsd_high"] / least)
        distance, visqol = ([float(n) for n in re.findall(r"[\d.]+", cell)] for cell in cells)
        assert distance == [round(lead, 1), round(ours["lsd_high"], 2), round(least, 2)]
        gain = ours["visqol"] - most
        assert visqol == [round(gain, 2), round(ours["visqol"], 2), round(most, 2)]


def test_the_talks_with_narrowband_passages_are_those_of_the_committed_bench():
    result = (ROOT / "bench/results/parts.md").read_text(encoding="utf-8")
    talks = int(re.search(r"(\d+) talks of each kind", result)[1])
    found = dict.fromkeys(("telephone", "wideband"), 0)
    for call, count in re.findall(r"\| (telephone|wideband) \S+ kHz\) \| [^|]+ \| (\d+) \|", result):
        found[call] += int(count)
    cells = rows("docs/restore.md", "")["talks in which passages were found"]
    assert cells == [f"{found['telephone']} of {2 * talks}", f"{found['wideband']} of {2 * talks}"]


def test_every_file_that_it_names_is_there():
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
        assert (ROOT / target).exists(), target


def test_the_stages_are_those_of_the_pipeline():
    dvc = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert list(dvc["stages"]) == [name.strip("`") for name in rows("README.md", "stage")]


def test_it_is_read_to_its_end():
    assert len(README.split()) <= 1500
    prose = re.sub(r"```.*?```|^\|.*$|^#.*$", "\n\n", README, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose)
    for paragraph in re.split(r"\n\s*\n|\n- ", prose):
        for sentence in re.split(r"(?<=[.!?])\s", " ".join(paragraph.split())):
            assert len(sentence.split()) <= 30, sentence


def names(group, above=""):
    """The dotted names of all parameters and groups of them."""
    for key, value in group.items():
        yield above + key
        if isinstance(value, dict):
            yield from names(value, f"{above}{key}.")


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
PAGES += [*(ROOT / "docs").glob("*.md"), *(ROOT / "recipes").glob("*.sh")]
PRINTED = [str(path.relative_to(ROOT)) for path in PAGES if " -S " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", PRINTED)
def test_commands_change_parameters_that_there_are(path):
    text, checked = (ROOT / path).read_text(encoding="utf-8"), 0
    # A script's commands build on each other; a page's are read one by one.
    for part in [text] if path.endswith(".sh") else re.split(r"(?=dvc exp run)", text):
        there = set(names(yaml.safe_load((ROOT / "params.yaml").read_text())))
        for sign, name in re.findall(r"-S\s+['\"]?([~+]?)([a-z0-9_.]+)", part):
            if sign == "+":
                assert name not in there, f"{name} is there already"
                there.add(name)
                name = name.rpartition(".")[0]
            assert name in there, name
            if sign == "~":
                there.remove(name)
            checked += 1
    assert checked


@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_the_printed_difference_begins_with_the_committed_metrics_and_fits_a_screen(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    printed = text.split("$ dvc metrics diff\n")[1].split("```")[0].splitlines()
    found = {}
    for line in printed[1:]:
        path, name, old, new, change = re.split(r"\s{2,}", line)
        assert path == "metrics/summary.json"
        assert float(new) - float(old) == pytest.approx(float(change), abs=2e-4)
        found[name] = float(old)
    values = flat(json.loads(committed("metrics/summary.json")))
    assert found == {name: pytest.approx(values[name], rel=1e-4) for name in found}
    assert len(found) == len(set(found)) >= 10
    assert len(printed) <= 30


def flat(values, prefix=""):
    """Nested values as DVC names them: ``systems.model.lsd``."""
    pairs = {}
    for key, value in values.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return pairs
