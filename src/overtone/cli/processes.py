"""Run tasks in several processes: results in order, progress of all, and no process left behind at the end.

::

    parent ─┬─ task ──► worker      opened once, then a task after the other
            │ ◄─ shares, result ─
            └─ task ──► worker      ended if the first that is open says that one is enough

A worker that dies, as for lack of memory, fails its task alone; another one takes its place. A worker whose
parent is gone ends at its next progress, and removes what it has half written.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

from overtone.cli.terminal import exit_on_signals, libraries_silenced
from overtone.core.errors import OvertoneError

# Seconds that a worker has to remove its temporary files when it is ended.
PATIENCE = 10.0

Progress: TypeAlias = Callable[[float], None]


class Work(NamedTuple):
    """The work that a worker does.

    Attributes:
        run: does a task and returns its result; it calls the progress with the share that is done.
        several: whether more workers may run beside it.
    """

    run: Callable[[Any, Progress], Any]
    several: bool


class Failure(NamedTuple):
    """Stands for the result of a task that failed, with the reason as a line."""

    line: str


class Pool:
    """Runs tasks in up to so many processes.

    Args:
        open_work: is called once in each worker; it and the tasks are pickled. An OvertoneError that it
            raises ends all.
        count: of workers at most.
        variables: of each worker's environment.

    Attributes:
        shares: of each task that are done, 0 to 1.
    """

    def __init__(self, open_work: Callable[[], Work], count: int, variables: dict[str, str]) -> None:
        self._open_work, self._count, self._variables = open_work, count, variables
        self._workers: dict[Any, _Worker] = {}  # by their connections
        self._results: dict[int, Any] = {}
        self.shares: list[float] = []

    def run(self, tasks: Sequence[Any], progress: Callable[[], None]) -> Generator[Any, None, None]:
        """Yield the results of tasks in their order, a `Failure` for each that failed.

        Args:
            tasks: to do.
            progress: is called when `shares` has changed.

        Raises:
            OvertoneError: as of ``open_work``, or workers cannot be started.
        """
        self.shares = [0.0] * len(tasks)
        waiting = list(range(len(tasks)))
        try:
            for _ in range(min(self._count, len(tasks))):
                self._start()
            for number in range(len(tasks)):
                while number not in self._results:
                    for ready in connection.wait(list(self._workers)):
                        if worker := self._workers.get(ready):
                            self._receive(worker, tasks, waiting)
                        progress()
                yield self._results.pop(number)
        finally:
            self._end(list(self._workers.values()))

    def _start(self) -> None:
        own, other = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_serve, args=(other, self._open_work, self._variables), daemon=True)
        # Ctrl-C reaches all processes of a terminal: the parent alone acts on it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        other.close()
        self._workers[own] = _Worker(own, process)

    def _receive(self, worker: "_Worker", tasks: Sequence[Any], waiting: list[int]) -> None:
        """Act on a worker's message: Work.several once it is open, then shares, and results as (result,)."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker, waiting)
            return
        if isinstance(message, float):
            assert worker.task is not None
            self.shares[worker.task] = message
            return
        if isinstance(message, Failure):
            raise OvertoneError(message.line)
        if isinstance(message, bool):
            worker.is_open = True
            if not message:
                self._end([other for other in self._workers.values() if other is not worker])
        else:
            assert worker.task is not None
            self._finish(worker.task, message[0])
            worker.task = None
        if waiting:
            worker.task = waiting.pop(0)
            with contextlib.suppress(OSError):  # that it is gone shows next
                worker.connection.send(tasks[worker.task])

    def _replace(self, worker: "_Worker", waiting: list[int]) -> None:
        """Fail the task of a worker that has died, and start another in its place.

        Raises:
            OvertoneError: it died before it was open, and there is no other.
        """
        del self._workers[worker.connection]
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode
        died = (
            f"its process ended by signal {-code}" if code and code < 0 else f"its process ended with {code}"
        )
        if worker.task is not None:
            self._finish(worker.task, Failure(f"{died}; is there memory for --jobs {self._count}?"))
        if waiting and worker.is_open:
            self._start()
        elif waiting and not self._workers:
            raise OvertoneError(f"no process for several files at once can be opened: {died}; try --jobs 1")

    def _finish(self, task: int, result: Any) -> None:
        self._results[task], self.shares[task] = result, 1.0

    def _end(self, workers: "list[_Worker]") -> None:
        """End workers, and give them time to clean up."""
        for worker in workers:
            del self._workers[worker.connection]
            # It ends by this alone, too, but later: Windows has no signal for it.
            worker.connection.close()
            if os.name == "posix":
                worker.process.terminate()
        for worker in workers:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


class _Worker:
    """A worker as its parent sees it."""

    def __init__(self, own: Connection, process: Any) -> None:
        self.connection, self.process = own, process
        self.task: int | None = None
        self.is_open = False


def _serve(parent: Connection, open_work: Callable[[], Work], variables: dict[str, str]) -> None:
    """Be a worker: open the work, then do what comes over the connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_on_signals()
    os.environ.update(variables)

    def send(message: Any) -> None:
        try:
            parent.send(message)
        except OSError:
            raise SystemExit(1) from None  # the parent is gone

    def progress(share: float) -> None:
        # The parent sends nothing while a task runs: what can be read is the end.
        if parent.poll():
            raise SystemExit(1)
        send(float(share))

    with libraries_silenced():
        try:
            work = open_work()
        except OvertoneError as error:
            send(Failure(str(error)))
            return
        send(work.several)
        with contextlib.suppress(EOFError):
            while True:
                send((work.run(parent.recv(), progress),))
