"""The ranks of a training run as processes: started together, watched, ended together.

``OVERTONE_RANKS=N`` starts N of them on this machine. Those that ``torchrun`` has started, on one
machine or many, are told by its variables (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``,
``MASTER_PORT``), which are used here too.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from datetime import timedelta
from typing import IO

import torch
from torch import distributed as dist

from overtone.core.errors import OvertoneError
from overtone.core.parallel import worker_count
from overtone.models.device import choose_device

# What a rank ends with when another one has gone: the other one's end is the one to explain.
LOST = 3
# A rank may be waited for so long. The longest wait is for a rank that compiles, or writes a state.
PATIENCE = timedelta(minutes=5)
# Ranks that fail together end within this, each with its own reason; then those that hang are ended.
GRACE_SECONDS = 3.0


def asked() -> int:
    """The ranks to start on this machine: ``OVERTONE_RANKS``, else 1."""
    value = os.environ.get("OVERTONE_RANKS", "1")
    if not value.isdigit() or int(value) == 0:
        raise OvertoneError(f"OVERTONE_RANKS is {value!r}; it is a whole number of ranks, 1 or more")
    return int(value)


def run(work: Callable[[], None], command: list[str]) -> None:
    """Do a work that calls `join`, as one process, as one rank, or as the parent of ``OVERTONE_RANKS`` ranks.

    Args:
        work: what a rank does; what it prints is seen of rank 0 alone.
        command: what starts it in a process of its own.

    Raises:
        OvertoneError: a rank was killed, or the ranks lost one another.
    """
    if "RANK" not in os.environ:
        return launch(command, asked()) if asked() > 1 else work()
    with ExitStack() as stack:
        if os.environ["RANK"] != "0":
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        try:
            work()
        except (RuntimeError, dist.DistError) as error:
            if not _lost(error):
                raise
            if "OVERTONE_RANKS" not in os.environ:
                line = f"error: rank {os.environ['RANK']} has lost another one; run again to go on"
                print(line, file=sys.stderr, flush=True)
            # Not sys.exit: taking leave of a group that has broken may wait for those that are gone.
            os._exit(LOST)
    if dist.is_initialized():
        dist.destroy_process_group()


def _lost(error: Exception) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def join() -> torch.device:
    """Join the other ranks, if there are any, and return this one's device.

    A rank ends within a second of its parent, so that none of a killed run goes on writing.

    Raises:
        OvertoneError: there are more ranks than GPUs, or the device can have none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return choose_device()
    here = int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.device_count()
    if here < gpus:
        torch.cuda.set_device(here)
    device = choose_device()
    if device.type == "cuda":
        if here >= gpus:
            raise OvertoneError(
                f"{os.environ['WORLD_SIZE']} ranks are more than this machine's GPUs ({gpus}); start fewer, "
                "or set OVERTONE_DEVICE=cpu"
            )
        device = torch.device("cuda", here)
    elif device.type != "cpu":
        raise OvertoneError(f"ranks train on cuda or cpu, not on {device.type}; set OVERTONE_DEVICE=cpu")
    # Under torchrun; `launch` has set it.
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    os.environ.setdefault("OVERTONE_JOBS", str(max(1, worker_count() // beside)))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    return device


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(LOST)


def launch(command: list[str], count: int) -> None:
    """Start a command as the ranks of this machine and wait for all; if one ends badly, all are ended.

    Raises:
        OvertoneError: a rank was killed, or the ranks lost one another; a rank that ended with an error
            of its own has printed it, and its exit code is this process's.
    """
    share = str(max(1, worker_count() // count))
    environment = {
        "OMP_NUM_THREADS": share,
        "OVERTONE_JOBS": share,
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if loopback:
        # Else gloo looks this machine's name up, which may lead nowhere.
        environment.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes)
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # Ranks that fail alike say so once.
            stderr = None if rank == 0 else said[rank]
            processes.append(subprocess.Popen(command, env=environment | own, stderr=stderr))
        codes = _wait(processes)
        if any(codes):
            _explain(codes, said)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(processes: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Exit codes when all have ended well, or soon after one ended badly; None for those that still run."""
    deadline = float("inf")
    while True:
        codes = [process.poll() for process in processes]
        if any(codes):
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        if None not in codes or time.monotonic() > deadline:
            return codes
        time.sleep(0.05)


def _explain(codes: list[int | None], said: Sequence[IO[str]]) -> None:
    """Leave with the fault of the first rank that had one of its own."""
    faults = [(rank, code) for rank, code in enumerate(codes) if code not in (None, 0, LOST)]
    rank, code = faults[0] if faults else (0, LOST)
    if code is not None and code < 0:
        killed = signal.Signals(-code).name
        raise OvertoneError(
            f"rank {rank} of {len(codes)} was killed ({killed}), and the others were ended; "
            "run again to go on from the last state kept"
        )
    if code == LOST:
        raise OvertoneError(
            f"the {len(codes)} ranks lost one another; run again to go on from the last state kept"
        )
    said[rank].seek(0)
    sys.stderr.write(said[rank].read())
    sys.exit(code)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End what still runs."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
