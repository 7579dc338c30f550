"""Tasks for workers that are done again when they fail or the process that does them dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.offline.workers import Workers

Result = TypeVar("Result")

#: Times that a task is tried.
ATTEMPTS = 3


class Task(Generic[Result]):
    """A call of a function in another process."""

    def __init__(self, tasks: Tasks, function: Callable[..., Result], *arguments: Any) -> None:
        self._tasks = tasks
        self._function = function
        self._arguments = arguments
        self._future: Future[Result] = tasks.workers.submit(function, *arguments)

    def result(self) -> Result:
        """Wait for what the function returns.

        Raises:
            BagError: the function has raised it, or the task has failed too often.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._tasks.done(self, self._future.result())
            except BagError:
                raise
            except Exception:
                self._tasks.do_again(self)
        try:
            return self._tasks.done(self, self._future.result())
        except BagError:
            raise
        except Exception as error:
            raise BagError(
                f"a task has failed {ATTEMPTS} times: {type(error).__name__}: {error}"
            ) from error

    def submit_again(self) -> None:
        """Have it done once more."""
        self._future = self._tasks.workers.submit(self._function, *self._arguments)

    @property
    def has_lost_its_process(self) -> bool:
        """Whether the process that was to do it has died."""
        return self._future.done() and isinstance(self._future.exception(), BrokenProcessPool)


class Tasks:
    """All tasks under way."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        #: Tasks that were done again.
        self.retried = 0
        self._under_way: list[Task[Any]] = []

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Task[Result]:
        """Have a function called in some process."""
        task = Task(self, function, *arguments)
        self._under_way.append(task)
        return task

    def done(self, task: Task[Any], result: Result) -> Result:
        """Take a task off the list."""
        self._under_way.remove(task)
        return result

    def do_again(self, failed: Task[Any]) -> None:
        """Do a task again, and all that have gone down with its process."""
        self.workers.recover()
        for task in self._under_way:
            if task is failed or task.has_lost_its_process:
                self.retried += 1
                task.submit_again()
