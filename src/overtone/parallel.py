"""A map over tracks on this machine's cores, with results in order."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

from overtone.errors import OvertoneError

Result = TypeVar("Result")


def workers() -> int:
    """Number of processes: ``OVERTONE_JOBS``, or the cores that this process may use."""
    asked = os.environ.get("OVERTONE_JOBS")
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdigit() or asked == "0":
        raise OvertoneError(f"OVERTONE_JOBS is {asked!r}; it is a whole number, 1 or more")
    return int(asked)


def each(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    """Call ``function(*call)`` for every call, on all cores, and yield the results in order."""
    jobs = min(workers(), len(calls))
    if jobs <= 1:
        yield from (function(*call) for call in calls)
        return
    yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(function)(*call) for call in calls)


def progress(
    results: Iterator[Result], total: int, label: str, say: Callable[[str], None]
) -> Iterator[Result]:
    """Pass results on, saying now and then how many are done and how long the rest will take."""
    began = said = time.monotonic()
    for done, result in enumerate(results, start=1):
        now = time.monotonic()
        if done == total or now - said > 5:
            said = now
            left = (now - began) / done * (total - done)
            say(f"{label} {done}/{total}, {now - began:.0f} s, {left:.0f} s left")
        yield result
