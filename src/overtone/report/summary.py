"""Summarize a run for DVC: metrics/summary.json, few enough values for a screen.

``dvc metrics diff`` and ``dvc exp show`` print one row or column per value. metrics/test.json has hundreds of
values; the summary has the means that decide, of the systems that matter most, and the losses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from overtone.core import atomic
from overtone.evaluation.metrics.registry import SUMMARY
from overtone.report import tables

SYSTEMS = 4  # with seven means each, and two losses, 30 values
LOSSES = ("train_loss", "validation_loss")


def write(folder: Path) -> None:
    """Write metrics/summary.json of the repository in a folder.

    Raises:
        OvertoneError: metrics/test.json or metrics/train.json is missing or no JSON.
    """
    settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    results = tables.read(folder / "metrics/test.json")
    training = tables.read_json(folder / "metrics/train.json")
    values = summarize(results, training, settings["evaluate"]["systems"])
    atomic.write_json(values, folder / "metrics/summary.json")


def summarize(
    results: Mapping[str, Any], training: Mapping[str, Any], named: Sequence[str]
) -> dict[str, Any]:
    """Select the losses, and the means of SUMMARY for a few systems.

    Args:
        results: the content of metrics/test.json.
        training: that of metrics/train.json.
        named: ``evaluate.systems``.

    Returns:
        ``{"train_loss", "validation_loss", "systems": {system: {metric: mean}}}``.
    """
    systems = results["systems"]
    losses = {key: training[key] for key in LOSSES}
    return losses | {
        "systems": {
            name: {key: systems[name][key]["mean"] for key in SUMMARY if key in systems[name]}
            for name in _rank(systems, named)[:SYSTEMS]
        }
    }


def _rank(systems: Mapping[str, Any], named: Sequence[str]) -> list[str]:
    """Order the rows: the named systems, the input, the systems alone, then the other rows."""
    alone = ["network alone" if name == "model" else f"{name} alone" for name in named]
    ranked = dict.fromkeys([*named, "input", *alone, "noise fill", "band replication", *systems])
    return [name for name in ranked if name in systems]
