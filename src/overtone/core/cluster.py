"""Map a function over tracks on a Dask cluster, with results in order; `overtone.core.parallel` chooses it.

Joblib's own Dask backend was tried first. It runs everything on this machine, without a message, if the
cluster has a single thread at the start; and it submits no more calls than the workers of that moment can
run, so that a worker that joins late may stay idle. Dask's client does neither.
"""

import re
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha1
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from overtone.core.errors import OvertoneError, need

Result = TypeVar("Result")

CONNECT = 10.0
"""Seconds to wait for the scheduler's answer."""

ALONE = 60.0
"""Seconds to wait for a worker while the cluster has none."""

COMPUTES = ("numpy", "scipy", "torch", "torchaudio", "soundfile", "soxr")
"""Packages whose version may change a result's bytes."""


def run_all(
    address: str, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], folder: Path | None
) -> Iterator[Result]:
    """Call ``function(*call)`` for every call on the cluster, and yield the results in order.

    A call whose worker dies is repeated on another worker; workers that join later get calls, too.

    Args:
        address: of the scheduler, ``tcp://HOST:PORT``.
        function: importable by the workers.
        calls: its arguments; paths among them are absolute.
        folder: where the calls write, None for nowhere; the workers must share it.

    Raises:
        OvertoneError: no scheduler answers, no worker comes, or a worker cannot give the same results:
            its code or packages differ, or it does not see the same files.
    """
    need("cluster", "distributed")
    from distributed import Client, KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm.core import CommClosedError

    if not re.fullmatch(r"(tcp|tls|ws|wss)://.+:\d+", address):
        raise OvertoneError(f"OVERTONE_CLUSTER is {address!r}; it is a scheduler's address, tcp://HOST:PORT")
    try:
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError):  # Dask's TimeoutError is an OSError
        raise OvertoneError(
            f"OVERTONE_CLUSTER is {address!r}; no Dask scheduler answers there: start one "
            "(docs/cluster.md), or unset it to work on this machine"
        ) from None
    mark = folder.absolute() / f".seen-by-workers-{secrets.token_hex(4)}.part" if folder else None
    try:
        if mark:
            mark.touch()
        work = [(code_versions(), mark, function, call) for call in calls]
        # Batches, because Dask warns of a message over 10 MB, and 100,000 calls are one.
        futures = deque(client.map(_call, *zip(*work, strict=True), pure=False, batch_size=1000))
        while futures:
            yield _result(futures.popleft(), client, address)
    except (FutureCancelledError, CommClosedError):
        raise OvertoneError(
            f"the Dask scheduler at {address} went away; start it again and run again"
        ) from None
    except KilledWorker as error:
        raise OvertoneError(
            f"one call killed the workers that took it, the last at {error.last_worker.address}; most likely "
            "it needs more memory than they have: see their logs"
        ) from None
    except ModuleNotFoundError as error:
        raise OvertoneError(
            f"a worker of {address} says: {error}; give it this overtone and its packages (docs/cluster.md)"
        ) from None
    finally:
        client.close()
        if mark:
            mark.unlink(missing_ok=True)


def _result(future: Any, client: Any, address: str) -> Any:
    """Wait for one result as long as there are workers."""
    alone_since = time.monotonic()
    while True:
        try:
            return future.result(timeout=min(5.0, ALONE))
        except TimeoutError:
            if future.status == "error":  # the call's own
                return future.result()
            if client.ncores():
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since >= ALONE:
                raise OvertoneError(
                    f"the Dask scheduler at {address} has had no worker for {ALONE:.0f} s; start some "
                    "(docs/cluster.md) and run again"
                ) from None


def _call(wanted: dict[str, str], mark: Path | None, function: Callable[..., Result], call: Any) -> Result:
    """Check on the worker that its result will be that of any machine, then make the call."""
    from distributed import get_worker

    worker = get_worker().address
    for name, found in code_versions().items():
        if found != wanted[name]:
            raise OvertoneError(
                f"the worker at {worker} has {name} {found}, this machine {wanted[name]}; results would "
                "differ: give both the same (docs/cluster.md), start the worker again"
            )
    for path in [*_paths(call), *([mark] if mark else [])]:
        if not path.exists():
            raise OvertoneError(
                f"the worker at {worker} does not see {path.parent if path == mark else path} as this "
                "machine does; put it in a folder that all share under one path (docs/cluster.md)"
            )
    try:
        return function(*call)
    except OvertoneError as error:
        raise OvertoneError(f"{error} (on the worker at {worker})") from None


def _paths(value: Any) -> Iterator[Path]:
    """Yield the paths among arguments."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)


@lru_cache(maxsize=1)
def code_versions() -> dict[str, str]:
    """Return the versions that decide a result: Python, packages, overtone's source and its weights."""
    source = sha1(usedforsecurity=False)
    package = Path(__file__).parents[1]
    for path in sorted([*package.rglob("*.py"), *(package / "shipped").iterdir()]):
        source.update(path.read_bytes())
    # A build for another device (2.13.0+cpu, 2.13.0) computes the same on the processor.
    versions = {name: version(name).partition("+")[0] for name in COMPUTES}
    return {
        "overtone's source": source.hexdigest()[:12],
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
    } | versions
