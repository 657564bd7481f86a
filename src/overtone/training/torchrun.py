"""Start and join the ranks of a training run; torchrun watches them and ends them together.

``OVERTONE_RANKS=N`` starts N ranks on this machine, through torchrun's library. Ranks that the command
``torchrun`` starts, on one machine or many, join in the same way: by the environment variables that it gives
them.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import distributed as dist

from overtone.core.errors import OvertoneError
from overtone.core.parallel import worker_count
from overtone.models.device import choose_device
from overtone.training import distributed

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# The exit code of a rank that has lost another one: the other one's end is the one to explain.
LOST = 3
# Seconds that such a rank waits before it ends, so that torchrun sees the other one's end first.
LOST_WAIT = 1.0
# How long a rank waits for another one. The longest wait is for a rank that compiles, or writes a state.
PATIENCE = timedelta(minutes=5)
# Seconds that ranks have to end by themselves, once one has failed.
GRACE_SECONDS = 3


def requested_ranks() -> int:
    """Return the number of ranks to start on this machine: ``OVERTONE_RANKS``, else 1."""
    value = os.environ.get("OVERTONE_RANKS", "1")
    if not value.isdigit() or int(value) == 0:
        raise OvertoneError(f"OVERTONE_RANKS is {value!r}; it is a whole number of ranks, 1 or more")
    return int(value)


def run(work: Callable[[], None], module: str) -> None:
    """Do work that calls `join`: in this process, as a rank, or by starting ``OVERTONE_RANKS`` ranks.

    Args:
        work: what one process does. Of ranks, the output of rank 0 alone is seen.
        module: what ``python -m`` starts a rank with.

    Raises:
        OvertoneError: a rank was killed, or the ranks lost one another.
    """
    if "RANK" in os.environ:
        _run_rank(work)
    elif requested_ranks() > 1:
        launch(module, requested_ranks())
    else:
        work()


def _run_rank(work: Callable[[], None]) -> None:
    """Do the work of one rank; end with the code `LOST` if another rank has gone."""
    with ExitStack() as stack:
        if os.environ["RANK"] != "0":
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        try:
            work()
        except (RuntimeError, dist.DistError) as error:
            if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            if "OVERTONE_RANKS" not in os.environ:
                line = f"error: rank {os.environ['RANK']} has lost another one; run again to go on"
                print(line, file=sys.stderr, flush=True)
            time.sleep(LOST_WAIT)
            # Not sys.exit: destroying a broken process group may wait for the ranks that are gone.
            os._exit(LOST)
    if dist.is_initialized():
        dist.destroy_process_group()


def join() -> torch.device:
    """Join the other ranks, if there are any, and return the device of this one.

    A rank ends within a second of its parent, so that no rank of a killed run goes on writing.

    Raises:
        OvertoneError: there are more ranks than GPUs, or the device does not support ranks.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return choose_device()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.device_count()
    if local_rank < gpus:
        torch.cuda.set_device(local_rank)
    device = choose_device()
    if device.type == "cuda":
        if local_rank >= gpus:
            raise OvertoneError(
                f"{os.environ['WORLD_SIZE']} ranks are more than this machine's GPUs ({gpus}); start fewer, "
                "or set OVERTONE_DEVICE=cpu"
            )
        device = torch.device("cuda", local_rank)
    elif device.type != "cpu":
        raise OvertoneError(f"ranks train on cuda or cpu, not on {device.type}; set OVERTONE_DEVICE=cpu")
    # `launch` has set it already; the command torchrun has not.
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    os.environ.setdefault("OVERTONE_JOBS", str(max(1, worker_count() // ranks_here)))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    distributed.leave_sums_uncompiled()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    return device


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(LOST)


def launch(module: str, count: int) -> None:
    """Start the ranks of this machine by torchrun and wait for all; if one ends badly, all are ended.

    Raises:
        OvertoneError: a rank was killed, or the ranks lost one another.
        SystemExit: a rank failed by itself; what it wrote to stderr is written here, and its code passed on.
    """
    # Imported here: a single process needs none of it.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _set_environment(count)
    # torchrun reports a failure in some twenty lines; this module says it in one.
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="overtone-ranks-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            shutdown_timeout=GRACE_SECONDS,
            # Ranks that fail alike are to say so once.
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=Std.ERR),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module)
        except ChildFailedError as error:
            _explain(error.failures, count, Path(folder))
        except SignalException as error:
            sys.exit(128 + error.sigval)
        finally:
            logging.disable(logging.NOTSET)
        sys.stderr.write(_stderr(Path(folder), rank=0))


def _set_environment(count: int) -> None:
    """Give each rank its share of the cores, and let ranks meet on the loopback interface."""
    share = str(max(1, worker_count() // count))
    for name in ("OMP_NUM_THREADS", "OVERTONE_JOBS"):
        os.environ.setdefault(name, share)
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if loopback:
        # gloo would look up this machine's name, which may lead nowhere.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())


def _explain(failures: "dict[int, ProcessFailure]", count: int, folder: Path) -> NoReturn:
    """Leave with the fault of the first rank that had one of its own."""
    # Ranks that lost another one, and then those that torchrun has ended, are not to blame.
    blame = {LOST: 1, -signal.SIGTERM: 2}
    rank = min(failures, key=lambda rank: (blame.get(failures[rank].exitcode, 0), rank))
    code = failures[rank].exitcode
    if code == LOST:
        raise OvertoneError(
            f"the {count} ranks lost one another; run again to go on from the last state kept"
        )
    if code < 0:
        raise OvertoneError(
            f"rank {rank} of {count} was killed ({signal.Signals(-code).name}), and the others were ended; "
            "run again to go on from the last state kept"
        )
    sys.stderr.write(_stderr(folder, rank))
    sys.exit(code)


def _stderr(folder: Path, rank: int) -> str:
    """Return what a rank wrote to stderr."""
    return "".join(file.read_text() for file in folder.glob(f"*/attempt_0/{rank}/stderr.log"))
