"""`SideBySide`: the faces of one image, in several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_Face = TypeVar("_Face")
_Found = TypeVar("_Found")


class SideBySide:
    """Calls a function with each of several faces, in this thread and in others next to it."""

    def __init__(self, threads: int) -> None:
        """Prepare; the threads are made when several faces come.

        Args:
            threads: number of threads, the calling one included, which does its part.
        """
        self._more_threads = threads - 1
        self._made_pool: ThreadPoolExecutor | None = None
        self._pool_process = 0

    def __call__(self, find: Callable[[_Face], _Found], faces: Sequence[_Face]) -> list[_Found]:
        """Return what the function finds for each face, in their order.

        Were the calling thread to wait instead, the system would often wake the others on one
        processor.
        """
        found: dict[int, _Found] = {}
        waiting = deque(enumerate(faces))

        def find_the_next() -> None:
            while waiting:
                try:
                    number, face = waiting.popleft()
                except IndexError:  # Another thread was faster.
                    return
                found[number] = find(face)

        others = []
        helping = min(self._more_threads, len(faces) - 1)
        if helping > 0:
            pool = self._pool()
            others = [pool.submit(find_the_next) for _ in range(helping)]
        try:
            find_the_next()
        finally:
            if others:
                wait(others)
        for other in others:
            other.result()  # raises the thread's error
        return [found[number] for number in range(len(faces))]

    def close(self) -> None:
        """End the threads."""
        if self._made_pool is not None and self._pool_process == os.getpid():
            self._made_pool.shutdown()

    def _pool(self) -> ThreadPoolExecutor:
        """Return the threads of this process: a forked process has none of its parent's threads."""
        if self._made_pool is None or self._pool_process != os.getpid():
            self._made_pool = ThreadPoolExecutor(self._more_threads, "face_landmarks")
            self._pool_process = os.getpid()
        return self._made_pool
