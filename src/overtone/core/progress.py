"""Show the progress of long work: tqdm's bar on a terminal, elsewhere a plain line now and then."""

import sys
from collections.abc import Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Result = TypeVar("Result")

LINE_SECONDS = 10.0
"""Seconds between two lines where the output is no terminal, such as a log."""

LINE = "{desc}: {n_fmt}/{total_fmt}, {elapsed}, {remaining} left"


class _Lines:
    """A text stream that prints each of tqdm's redrawings as a line, and none twice for the same count."""

    count = ""

    def write(self, text: str) -> None:
        """Print a text without tqdm's carriage returns and padding."""
        count = text.strip().partition(",")[0]
        if count and count != self.count:
            print(text.strip(), flush=True)
            self.count = count

    def flush(self) -> None:
        """Do nothing: every line is flushed."""


def open_bar(task: str, total: int | None, unit: str = "", done: int = 0) -> "tqdm[Any]":
    """Open a bar to be closed by ``with``; ``update`` counts on.

    Args:
        task: a few words before the count.
        total: how many there are, None where that is not known.
        unit: ``B`` for bytes, which are shown in KiB, MiB and GiB.
        done: how many are done already; they do not count for the speed.
    """
    options: dict[str, Any] = {"unit": unit, "unit_scale": unit == "B", "unit_divisor": 1024}
    if sys.stdout.isatty():
        return tqdm(desc=task, total=total, initial=done, file=sys.stdout, dynamic_ncols=True, **options)
    # A delay of almost nothing leaves out the line that tqdm writes before there is any progress.
    options |= {"mininterval": LINE_SECONDS, "miniters": 1, "delay": 1e-9, "bar_format": LINE}
    return tqdm(desc=task, total=total, initial=done, file=_Lines(), **options)


def report_progress(results: Iterator[Result], total: int, task: str) -> Iterator[Result]:
    """Pass results on and show how many of them are done."""
    with open_bar(task, total) as bar:
        for result in results:
            bar.update()
            yield result
