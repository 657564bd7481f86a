"""Map a function over tracks on this machine's cores or on a cluster, with results in order."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed

from overtone.core import cluster
from overtone.core.errors import OvertoneError
from overtone.core.machine import processor_count

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 1 << 26
"""Bytes of small files that are worth a separate call."""
# joblib ends a worker that was idle for 300 s or has grown by 300 MB, starts another if there is work left,
# and says so by a warning that users can do nothing about.
warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)


def worker_count() -> int:
    """Return the number of processes: ``OVERTONE_JOBS``, or the cores that this process may use."""
    asked = os.environ.get("OVERTONE_JOBS")
    if asked is None:
        return processor_count()
    if not asked.isdigit() or asked == "0":
        raise OvertoneError(f"OVERTONE_JOBS is {asked!r}; it is a whole number, 1 or more")
    return int(asked)


def run_all(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], folder: Path | None = None
) -> Iterator[Result]:
    """Call ``function(*call)`` for every call and yield the results in order.

    The calls run on this machine's cores, or where ``OVERTONE_CLUSTER`` is set, on the Dask cluster whose
    scheduler it names; that changes no result. Paths in the calls must be absolute there.

    Args:
        function: defined at the top of a module.
        calls: its arguments.
        folder: where the calls write files, None for nowhere; a cluster's workers must share it.

    Raises:
        OvertoneError: as `overtone.core.cluster.run_all` says.
    """
    address = os.environ.get("OVERTONE_CLUSTER")
    if address and calls:
        yield from cluster.run_all(address, function, calls, folder)
    else:
        yield from run_local(function, calls)


def run_local(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    """Do as `run_all` on this machine's cores, whatever is set: for files that a cluster may not see."""
    jobs = min(worker_count(), len(calls))
    if jobs <= 1:
        yield from (function(*call) for call in calls)
        return
    parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator")
    yield from parallel(delayed(function)(*call) for call in calls)


def describe_workers(calls: int) -> str:
    """Describe in a few words where `run_all` runs so many calls."""
    if address := os.environ.get("OVERTONE_CLUSTER"):
        return f"tracks shared out by {address}"
    jobs = min(worker_count(), calls)
    return f"{jobs} tracks at a time" if jobs > 1 else "one track at a time"


def group_by_size(items: Iterable[tuple[Item, int]]) -> Iterator[list[Item]]:
    """Group consecutive items, given as (item, its bytes), to `BATCH` bytes or a little more."""
    group, weight = [], 0
    for item, size in items:
        group.append(item)
        weight += size
        if weight >= BATCH:
            yield group
            group, weight = [], 0
    if group:
        yield group
