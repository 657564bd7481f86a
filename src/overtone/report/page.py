"""Render the report of a run as one HTML page that needs no other file.

Sounds, pictures and styles are inside the page; its policy forbids the browser to load anything. Text and
style are in ``page.html``, a jinja2 template. Titles of music are text of others: jinja2 escapes all text
that is not marked as safe.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from overtone.core import atomic
from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics.registry import IN_GENRES, SCORES, TESTED, VIEWS
from overtone.report import charts, data_uris, tables
from overtone.report.music import Music

ENDS = 5  # tracks listed at either end of the ranking
SOUND_LIMIT = 3_000_000  # characters of sound in the page; examples beyond that stay in data/examples
STAGE = "report"


def write(path: Path, folder: Path = Path()) -> None:
    """Write the report of the repository in `folder`, whole or not at all.

    Raises:
        OvertoneError: a file of the run is missing or cannot be read.
    """
    try:
        content = page(folder)
    except FileNotFoundError as error:
        raise OvertoneError(f"{error.filename} is not here; `dvc repro` writes it") from None
    atomic.write_text(content, path)


def page(folder: Path) -> str:
    """Render the report as HTML; the same files give the same bytes."""
    settings = _yaml(folder / "params.yaml")
    results = tables.read(folder / "metrics/test.json")
    scores = pd.read_csv(folder / "plots/scores.csv", dtype={"genre": str}, keep_default_na=False)
    scores[list(SCORES)] = scores[list(SCORES)].apply(pd.to_numeric)
    cutoff = float(scores["cutoff"].iloc[0])  # that of the pipeline comes first
    scores = scores[scores["cutoff"] == cutoff]
    systems = list(results["systems"])
    # The restored examples of evaluate are of the first of these with an output.
    shown = next((name for name in settings["evaluate"]["systems"] if name in systems), systems[0])
    music = Music(folder)
    examples = _examples(folder, cutoff, music)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        settings=settings,
        settings_text=(folder / "params.yaml").read_text(encoding="utf-8"),
        cutoff=cutoff,
        training=tables.read_json(folder / "metrics/train.json"),
        segments=tables.read_json(folder / "metrics/segments.json"),
        music=music,
        tracks=results["tracks"],
        remarks=results.get("remarks", {}),
        intervals=results["tracks"] > 1,
        views=[_view(title, keys, results["systems"]) for title, keys in VIEWS.items()],
        failed=results.get("failed", {}),
        absent=tables.absent(results["systems"]),
        paired=_paired(results["paired"]),
        genres=[_by_group(key, "genre", results["genres"]) for key in IN_GENRES],
        cutoffs=[_by_group(key, "cutoff", _cutoffs(results)) for key in IN_GENRES],
        ends=_ends(scores, shown, systems[0], music),
        loss=_loss(pd.read_csv(folder / "plots/loss.csv")),
        pictures={name: data_uris.png(folder / f"plots/{name}.png") for name in ("spectrum", "distance")},
        examples=[example for example in examples if example["versions"]],
        left_out=sum(not example["versions"] for example in examples),
        shown=shown,
        count=tables.count,
        metrics={tables.full_name(score): score for score in SCORES.values()},
        costs=tables.read_json(folder / "data/systems.json"),
        commands=_yaml(folder / "dvc.yaml")["stages"],
        checksums=_checksums(folder),
    )


def _view(title: str, keys: Collection[str], systems: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare a table of scores: headings, and rows of (mean, interval, is it the best) by system."""
    keys = [key for key in keys if any(key in values for values in systems.values())]
    best = {}
    for key in keys:
        means = [values[key]["mean"] for values in systems.values() if key in values]
        best[key] = SCORES[key].best(means)
    rows = {}
    for system, values in systems.items():
        rows[system] = [
            (
                tables.format_mean(values, key),
                tables.format_interval(values[key], key) if key in values else "",
                key in values and values[key]["mean"] == best[key],
            )
            for key in keys
        ]
    return {"title": title, "headings": [tables.heading(key) for key in keys], "rows": rows}


def _paired(compared: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the paired table: headings, and rows of (mean, p, is p below 0.05) by system."""
    systems = compared["systems"]
    keys = [key for key in TESTED if any(key in values for values in systems.values())]
    rows = {}
    for system, values in systems.items():
        rows[system] = [
            (
                tables.format_mean(values, key),
                tables.format_p(values[key]["p"]) if key in values else "",
                key in values and values[key]["p"] < 0.05,
            )
            for key in keys
        ]
    return {"against": compared["against"], "headings": [tables.heading(key) for key in keys], "rows": rows}


def _cutoffs(results: Mapping[str, Any]) -> dict[str, Any]:
    """List cutoff -> system -> metric -> interval; empty if there is one cutoff only."""
    found = results.get("cutoffs", {})
    return {f"{float(hertz) / 1000:g} kHz": of_cutoff["systems"] for hertz, of_cutoff in found.items()}


def _by_group(key: str, by: str, of_groups: Mapping[str, Any]) -> tuple[str, Markup]:
    """Draw a metric by group and system; returns its heading and the chart."""
    groups = {}
    for group, systems in of_groups.items():
        rows = {
            name: (*(values[key][end] for end in ("mean", "low", "high")), tables.format_mean(values, key))
            for name, values in systems.items()
            if key in values
        }
        if rows:
            groups[group] = rows
    heading = tables.heading(key)
    return heading, charts.intervals(f"{heading} by {by}", groups) if groups else Markup("")


def _ends(scores: pd.DataFrame, shown: str, beside: str, music: Music) -> dict[str, Any]:
    """List the tracks with the worst and the best scores of a system, by the first metric of IN_GENRES."""
    key = IN_GENRES[0]
    table = scores.pivot(index="track", columns="system", values=list(IN_GENRES))
    ranked = table[key, shown].dropna().sort_values(ascending=SCORES[key].higher_is_better, kind="stable")
    columns = [(name, table[name, system]) for name in IN_GENRES for system in (shown, beside)]
    rows: list[dict[str, Any]] = []
    for track in map(int, ranked.index):
        cells = [tables.format_mean({name: {"mean": column[track]}}, name) for name, column in columns]
        rows.append(music.name(track) | {"cells": cells})
    most = min(ENDS, (len(rows) + 1) // 2)
    return {
        "heading": tables.heading(key),
        "headings": [f"{tables.heading(name)}, {system}" for name in IN_GENRES for system in (shown, beside)],
        "hardest": rows[:most],
        "best": rows[most:][-ENDS:][::-1],
    }


def _loss(history: pd.DataFrame) -> Markup:
    """Draw training and validation loss by epoch, with a line at the best epoch."""
    rows = history.to_dict("records")
    curves = {
        name: [(float(row["epoch"]), float(row[column])) for row in rows]
        for name, column in (("training", "train_loss"), ("validation", "validation_loss"))
    }
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    return charts.lines("epoch", "loss", curves, float(best["epoch"]))


def _examples(folder: Path, cutoff: float, music: Music) -> list[dict[str, Any]]:
    """List the examples by number, with track and versions; without versions beyond SOUND_LIMIT."""
    found: dict[int, dict[str, Path]] = {}
    for path in (folder / "data/examples").glob("*_*.flac"):
        prefix, _, name = path.stem.partition("_")
        found.setdefault(int(prefix), {})[unquote(name)] = path
    examples = []
    used = 0
    for number, paths in sorted(found.items()):
        versions = _versions(paths, cutoff) if used < SOUND_LIMIT else []
        used += sum(len(version["sound"]) for version in versions)
        examples.append(music.name(music.chunks[number - 1]) | {"versions": versions})
    return examples


def _versions(paths: Mapping[str, Path], cutoff: float) -> list[dict[str, str]]:
    """Encode spectrogram and sound of each version, the original last, on a common scale of level."""
    names = sorted(paths, key=lambda name: (name == "original", name != "degraded", name != "restored", name))
    sounds = {name: data_uris.read(paths[name]) for name in names}
    powers = {name: data_uris.power(samples) for name, (samples, _) in sounds.items()}
    loudest = max(float(power.max()) for power in powers.values())
    versions = []
    for name, (samples, rate) in sounds.items():
        picture = data_uris.spectrogram(powers[name], loudest)
        drawing = charts.spectrogram(picture, name, len(samples) / rate, rate / 2, cutoff)
        versions.append({"name": name, "drawing": drawing, "sound": data_uris.sound(samples, rate)})
    return versions


def _checksums(folder: Path) -> list[dict[str, Any]]:
    """List path, md5 and size in bytes of the files that the report depends on, as DVC recorded them.

    DVC accepts neither dvc.yaml nor dvc.lock as a dependency. None is needed: a change to any of these files
    runs this stage again.
    """
    if not (folder / "dvc.lock").is_file():  # the stage ran by hand, before any `dvc repro`
        return []
    used = set(_yaml(folder / "dvc.yaml")["stages"][STAGE]["deps"])
    stages = _yaml(folder / "dvc.lock")["stages"].values()
    return [out for stage in stages for out in stage.get("outs", []) if out["path"] in used and "md5" in out]


def _yaml(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
