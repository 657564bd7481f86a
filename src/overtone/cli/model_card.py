"""Format the description of a model as lines: texts, scores as tables, parameters."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100
# The scores that are shown, and their meaning; the others are in the folder's model.json.
METRICS = {
    "LSD high": "Log-spectral distance above the cutoff in bels, lower is better",
    "ViSQOL": "ViSQOL, 1 to 4.73, higher is better",
}


def lines(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a model's description, as `overtone.models.registry.load` returns it.

    The entry "recipe" is left out. A model straight from the pipeline has parameters only.
    """
    for key, value in about.items():
        if key.startswith("figures"):
            yield from _tables(key.removeprefix("figures").strip(), value)
        elif key != "recipe":
            yield from _nested(key, value, "")


def _tables(of: str, figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield one table for each metric, with a row for each system and a column for each cutoff."""
    by_cutoff = {cutoff: systems for cutoff, systems in figures.items() if cutoff.isdecimal()}
    systems = list(next(iter(by_cutoff.values())))
    first = max(map(len, systems))
    for metric, meaning in METRICS.items():
        yield ", ".join(filter(None, (meaning, of))) + ":"
        yield " " * first + "".join(f"{int(cutoff) / 1000:>8g} kHz" for cutoff in by_cutoff)
        for system in systems:
            scores = (of_system[system][metric] for of_system in by_cutoff.values())
            yield f"{system:{first}}" + "".join(f"{score:12.3f}" for score in scores)


def _nested(key: str, value: Any, indent: str) -> Iterator[str]:
    """Yield nested values, one paragraph each."""
    label = f"{indent}{key.replace('_', ' ')}:"
    if isinstance(value, dict):
        yield label
        for name, inner in value.items():
            yield from _nested(name, inner, indent + "  ")
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        text = f"{value:.4g}" if isinstance(value, float) else shown
        yield from textwrap.wrap(
            f"{label} {text}",
            WIDTH,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
