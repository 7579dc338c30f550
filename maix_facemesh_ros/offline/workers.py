"""Processes that find the faces of segments: of this machine, or of a Dask cluster.

Both are executors of `concurrent.futures`, so the rest does not know the difference.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.messages import decoder_warnings

Result = TypeVar("Result")

#: Maximum seconds for a scheduler to answer.
CONNECT_TIMEOUT = 20

#: Number of times that a task may lose its process. Dask has the same limit.
ATTEMPTS = 3


class Task(Generic[Result]):
    """A call of a function in another process."""

    def __init__(self, workers: Workers, function: Callable[..., Result], *arguments: Any) -> None:
        self._workers = workers
        self._function = function
        self._arguments = arguments
        self.submit()

    def submit(self) -> None:
        """Have the function called."""
        self._future: Future[Result] = self._workers.executor.submit(
            self._function, *self._arguments
        )

    @property
    def is_under_way(self) -> bool:
        """Whether the function has not returned."""
        return not self._future.done()

    @property
    def has_lost_its_process(self) -> bool:
        """Whether the process that was to run it has died."""
        return self._future.done() and isinstance(self._future.exception(), BrokenProcessPool)

    def result(self) -> Result:
        """Wait for the function's result.

        Raises:
            BagError: the function has failed, or its process has died `ATTEMPTS` times.
        """
        try:
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._future.result()
                except BrokenProcessPool:
                    self._workers.replace_dead()
            return self._future.result()
        except BagError:
            raise
        except BrokenProcessPool as error:
            raise BagError(
                f"a process has died {ATTEMPTS} times on the same part of a recording: is there "
                "enough memory for all --workers?"
            ) from error
        except Exception as error:
            raise BagError(f"a process has failed: {type(error).__name__}: {error}") from error
        finally:
            if not self.is_under_way:  # as it is after Ctrl-C
                self._workers.under_way.remove(self)


class Workers:
    """Processes that run tasks."""

    def __init__(self, count: int, executor: Executor) -> None:
        #: How many there are.
        self.count = count
        self.executor = executor
        self.under_way: list[Task[Any]] = []
        #: Tasks that were run again because their process died.
        self.retried = 0

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Task[Result]:
        """Have a function called in some process."""
        try:
            task = Task(self, function, *arguments)
        except BrokenProcessPool:
            self.replace_dead()
            task = Task(self, function, *arguments)
        self.under_way.append(task)
        return task

    def replace_dead(self) -> None:
        """Replace processes that have died, and run their tasks again."""

    def close(self) -> None:
        """Shut the processes down and cancel tasks that have not started."""
        self.executor.shutdown(wait=True, cancel_futures=True)


class LocalWorkers(Workers):
    """Processes of this machine."""

    executor: ProcessPoolExecutor

    def __init__(self, count: int) -> None:
        """Start them when there is work."""
        super().__init__(count, _start(count))

    def close(self) -> None:
        """See `Workers`; after an error or Ctrl-C, tasks under way are ended too."""
        processes = list((self.executor._processes or {}).values())
        is_busy = any(task.is_under_way for task in self.under_way)
        self.executor.shutdown(wait=not is_busy, cancel_futures=True)
        if is_busy:  # a long segment would take minutes
            for process in processes:
                process.terminate()

    def replace_dead(self) -> None:
        """See `Workers`: a process that dies breaks the whole pool."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = _start(self.count)
        for task in self.under_way:
            if task.has_lost_its_process:
                self.retried += 1
                task.submit()


class ClusterWorkers(Workers):
    """A Dask cluster: one on other machines, or one of this machine to try it.

    Dask itself runs the tasks of a lost worker again.
    """

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: of the scheduler, such as tcp://10.0.0.5:8786; `local`: one is started here.

        Raises:
            BagError: Dask is not installed, or no scheduler answers.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise BagError(
                "--cluster needs Dask: pip install 'maix_facemesh_ros[cluster]' or "
                "pip install distributed"
            ) from error
        try:
            self._client = (
                Client(threads_per_worker=1, dashboard_address=None)
                if address == "local"
                else Client(address, timeout=CONNECT_TIMEOUT)
            )
        except (OSError, ValueError) as error:
            raise BagError(
                f"no Dask scheduler answers at {address!r}: {error}. Start one with "
                "`dask scheduler`, and `dask worker` on each machine"
            ) from error
        count = max(1, sum(self._client.nthreads().values()))
        super().__init__(count, self._client.get_executor())

    def close(self) -> None:
        """See `Workers`."""
        self.executor.shutdown(wait=False)
        self._client.close()


def _start(count: int) -> ProcessPoolExecutor:
    # spawn: a fork would copy locks that threads of this process hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=_set_up)


def _set_up() -> None:
    """Set up a worker process.

    It ends when the process that has started it is killed: it would wait endlessly.
    """
    decoder_warnings.limit()
    # Ctrl-C in a terminal reaches all its processes: the first one handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for_end, args=(parent.sentinel,), daemon=True).start()


def _wait_for_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
