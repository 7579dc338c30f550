"""Who looks at stretches: other processes of this machine, or a Dask cluster.

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
from typing import Any, Protocol, TypeVar

from maix_facemesh_ros.bags.storage import BagError

Result = TypeVar("Result")

#: Seconds that a scheduler may take to answer.
CONNECT_TIMEOUT = 20

#: Times that Dask tries a task again on another machine when one is lost.
RETRIES = 2


class Workers(Protocol):
    """Processes that do tasks."""

    #: How many there are.
    count: int

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a function called in some process."""
        ...

    def recover(self) -> None:
        """After a failure: replace processes that are gone."""
        ...

    def close(self) -> None:
        """Send them home; what they have not done is not done."""
        ...


class LocalWorkers:
    """Processes of this machine."""

    def __init__(self, count: int) -> None:
        """Start them when there is work."""
        self.count = count
        self._pool = self._start()

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """See `Workers`."""
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool:
            self.recover()
            return self._pool.submit(function, *arguments)

    def recover(self) -> None:
        """See `Workers`: one process that dies takes the pool with it."""
        try:
            self._pool.submit(os.getpid)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._start()

    def close(self) -> None:
        """See `Workers`."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # spawn: a fork would copy locks that threads of this process hold.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, context, initializer=_end_with_parent)


class ClusterWorkers:
    """A Dask cluster: one on other machines, or one of this machine to try it."""

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: of the scheduler, such as tcp://10.0.0.5:8786; `local`: one is started here.

        Raises:
            BagError: Dask is not installed, or nobody answers.
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
        self.count = max(1, sum(self._client.nthreads().values()))
        self._executor: Executor = self._client.get_executor(retries=RETRIES)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """See `Workers`."""
        return self._executor.submit(function, *arguments)

    def recover(self) -> None:
        """See `Workers`: Dask's scheduler does it."""

    def close(self) -> None:
        """See `Workers`."""
        self._executor.shutdown(wait=False)
        self._client.close()


def _end_with_parent() -> None:
    """End this process when the one that has started it is killed: it would wait for ever."""
    # Ctrl-C in a terminal reaches all its processes: the first one says what is to be done then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for_end, args=(parent.sentinel,), daemon=True).start()


def _wait_for_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
