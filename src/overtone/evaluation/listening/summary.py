"""Summarize ratings as mean scores with intervals: metrics/listening.json and plots/listening.png.

A listener counts once in each mean, by his own mean over the samples. The ratings of one listener are not
independent of each other; those of different listeners are.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from overtone.core import atomic
from overtone.evaluation.listening.examples import DEGRADED, ORIGINAL, RESTORED
from overtone.evaluation.listening.session import COMPARISON, OPINION
from overtone.evaluation.listening.store import Rating

SCALE = ("Bad", "Poor", "Fair", "Good", "Excellent")
# ITU-R BS.1534-3's post-screening: the hidden reference below 90 in more than 15 % of the samples.
RECOGNISED, TOLERATED = 90, 0.15
PIES = 2  # in a row of the picture
# Of the scale, distinct for colour-blind readers: M. Okabe and K. Ito, "Color Universal Design", 2008.
COLOURS = ("#D55E00", "#E69F00", "#BBBBBB", "#56B4E9", "#0072B2")


def screened_out(ratings: Iterable[Rating]) -> set[str]:
    """Find the listeners who did not recognise the hidden reference; those who rated none are left out."""
    given: dict[str, list[int]] = {}
    for rating in ratings:
        if (rating.part, rating.system) == (COMPARISON, ORIGINAL):
            given.setdefault(rating.listener, []).append(rating.value)
    return {
        listener
        for listener, values in given.items()
        if sum(value < RECOGNISED for value in values) > TOLERATED * len(values)
    }


def summarize(test: str, ratings: Sequence[Rating]) -> dict[str, Any]:
    """Compute mean scores and intervals per system.

    Args:
        test: the name of the examples that were rated.
        ratings: of these examples.

    Returns:
        - ``test``: its name.
        - ``listeners``: ``heard`` (all), of them ``screened_out`` (in no mean) and ``not_screened`` (in the
          means, but they rated no hidden reference).
        - ``opinion`` and ``comparison``: system -> ``mean``, ``low`` and ``high`` (the 95 % interval by
          Student's t over listeners; left out below two), numbers of ``listeners`` and ``ratings``.
        - ``scores``: system -> how often each word of the opinion scale was chosen.
    """
    listeners = {rating.listener for rating in ratings}
    screened = {
        rating.listener for rating in ratings if (rating.part, rating.system) == (COMPARISON, ORIGINAL)
    }
    out = screened_out(ratings)
    kept = [rating for rating in ratings if rating.listener not in out]
    opinions = [rating for rating in kept if rating.part == OPINION]
    return {
        "test": test,
        "listeners": {
            "heard": len(listeners),
            "screened_out": len(out),
            "not_screened": len(listeners - screened),
        },
        "opinion": _by_system(opinions),
        "scores": {
            system: {
                word: sum(rating.value == value for rating in opinions if rating.system == system)
                for value, word in enumerate(SCALE, start=1)
            }
            for system in _systems(opinions)
        },
        "comparison": _by_system([rating for rating in kept if rating.part == COMPARISON]),
    }


def interval(values: Sequence[float]) -> dict[str, float]:
    """Compute the mean, and its 95 % interval mean +- t(0.975, n-1) s / sqrt(n) for two values or more."""
    mean = float(np.mean(values))
    found = {"mean": round(mean, 3)}
    if len(values) > 1:
        half = (
            float(stats.t.ppf(0.975, len(values) - 1))
            * float(np.std(values, ddof=1))
            / math.sqrt(len(values))
        )
        found |= {"low": round(mean - half, 3), "high": round(mean + half, 3)}
    return found


def _systems(ratings: Iterable[Rating]) -> list[str]:
    """List the systems that were rated: the original first, the degraded second, then by the alphabet."""
    found = {rating.system for rating in ratings}
    return sorted(found, key=lambda system: (system != ORIGINAL, system != DEGRADED, system))


def _by_system(ratings: Sequence[Rating]) -> dict[str, dict[str, float]]:
    table = {}
    for system in _systems(ratings):
        own: dict[str, list[int]] = {}
        for rating in ratings:
            if rating.system == system:
                own.setdefault(rating.listener, []).append(rating.value)
        means = [float(np.mean(values)) for values in own.values()]
        table[system] = interval(means) | {"listeners": len(own), "ratings": sum(map(len, own.values()))}
    return table


def text(results: Mapping[str, Any]) -> str:
    """Format the results as lines of text."""
    listeners = results["listeners"]
    lines = [
        f"listeners: {listeners['heard']}, screened out by the hidden reference: "
        f"{listeners['screened_out']}, without a rating of it: {listeners['not_screened']}"
    ]
    for part, title, decimals in ((OPINION, "opinion, 1 to 5", 2), (COMPARISON, "comparison, 0 to 100", 1)):
        for system, score in results[part].items():
            between = (
                f" ({score['low']:.{decimals}f} to {score['high']:.{decimals}f})" if "low" in score else ""
            )
            lines.append(f"{title}  {system:12}  {score['mean']:.{decimals}f}{between}")
    return "\n".join(lines)


def write(results: Mapping[str, Any], metrics: Path, picture: Path) -> None:
    """Write the JSON and the picture, each whole or not at all."""
    for path in (metrics, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    draw(results, picture)
    atomic.write_json(results, metrics)


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw a pie of opinion scores per system, as in the paper, and the comparison's means with intervals."""
    from matplotlib.figure import Figure

    # The degraded version comes last: the paper shows the restored ones.
    pies = sorted(results["scores"], key=lambda system: (system == DEGRADED, system != RESTORED, system))
    rows = max(1, math.ceil(len(pies) / PIES))
    figure = Figure(figsize=(11, 4 * rows), layout="constrained")
    if not results["listeners"]["heard"]:
        figure.text(0.5, 0.5, "no ratings yet: overtone listen", ha="center", va="center", size="large")
    grid = figure.add_gridspec(rows, PIES + 1, width_ratios=(*[1] * PIES, 1.6))
    for index, system in enumerate(pies):
        axis = figure.add_subplot(grid[index // PIES, index % PIES])
        counts = results["scores"][system]
        shown = [value for value, word in enumerate(SCALE) if counts[word]]
        axis.pie(
            [counts[SCALE[value]] for value in shown],
            labels=[f"{value + 1} {SCALE[value]}" for value in shown],
            colors=[COLOURS[value] for value in shown],
            autopct="%.0f %%",
            startangle=90,
            counterclock=False,
            wedgeprops={"edgecolor": "white"},
        )
        axis.set_title(f"{system}:\nmean opinion {results['opinion'][system]['mean']:.2f}")
    if results["comparison"]:
        _compare(figure.add_subplot(grid[:, PIES]), results["comparison"])
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _compare(axis: Any, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Draw means with their intervals, a row per system."""
    for row, score in enumerate(scores.values()):
        axis.plot(
            [score.get("low", score["mean"]), score.get("high", score["mean"])], [row, row], color="#0072B2"
        )
        axis.plot(score["mean"], row, "o", color="#0072B2", clip_on=False)
    labels = {ORIGINAL: "hidden reference", DEGRADED: "degraded (anchor)"}
    axis.set_yticks(range(len(scores)), [labels.get(system, system) for system in scores])
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), xlabel="0 to 100, mean and 95 % interval", title="comparison")
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
