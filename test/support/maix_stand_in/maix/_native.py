"""What is common to functions that are C++ behind the real module."""

from __future__ import annotations

import ctypes
import operator
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from typing import NoReturn

import cv2

#: C's usleep may refuse a second and more.
_LONGEST_SLEEP = 500_000


class NativeEnum(Enum):
    """An enum of pybind11: no int, but it equals its number and converts to it."""

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return int(self) == other
        return self is other

    def __hash__(self) -> int:
        return hash(self.value)


def whole(value: object) -> int:
    """Return an argument that is an int in C++; anything else, floats too, is a TypeError."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"incompatible function arguments: {value!r} is not an int") from None


def wholes(values: Iterable[object]) -> list[int]:
    """Return an argument that is a vector of int in C++."""
    return [whole(value) for value in values]


def end_process(reason: str) -> NoReturn:
    """End the process as a segmentation fault would, so that a missing guard is seen."""
    print(f"maix stand-in: {reason}: the real one ends the process here", file=sys.stderr)
    sys.stderr.flush()
    os.abort()


@contextmanager
def opencv_errors() -> Iterator[None]:
    """Turn OpenCV's exceptions into what pybind11 makes of them."""
    try:
        yield
    except cv2.error as error:
        raise RuntimeError(str(error)) from None


def wait_with_lock(seconds: float) -> None:
    """Wait as C++ does that never gives the interpreter lock away: no other thread runs."""
    due = time.monotonic() + seconds
    while (left := due - time.monotonic()) > 0:
        _usleep()(min(round(left * 1e6) + 1, _LONGEST_SLEEP))


@cache
def _usleep() -> Callable[[int], object]:
    # PyDLL, unlike CDLL, calls with the lock held.
    sleep: Callable[[int], object] = ctypes.PyDLL(None).usleep
    return sleep
