"""Importing MaixPy's module `maix`: the only place in this package that does."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from maix_facemesh_ros.backends.base import BackendError

#: Names of the module that this package uses; another module `maix` would lack them.
_PARTS = ("camera", "image", "nn", "sys")

#: More bytes than a `struct sigaction` has on any Linux (152 with glibc on 64 bits).
_SIGACTION_BYTES = 512


def import_maix() -> Any:
    """Return the module `maix`, imported as MaixPy needs it; it prints to stdout.

    Raises:
        BackendError: it cannot be imported here, or not in this thread.
    """
    check_thread()
    try:
        with nullcontext() if "maix" in sys.modules else _same_signal_handlers():
            import maix
        missing = [part for part in _PARTS if not hasattr(maix, part)]
        if missing:
            raise ImportError(f"this is another module maix, without {', '.join(missing)}")
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(
            f"MaixPy (module maix) cannot be imported: {words_of(error)}. It belongs to the system "
            "image of a MaixCAM. What pip installs does not run elsewhere: the wheel for x86_64 "
            "needs glibc 2.38 and the shared libraries of OpenCV 4.6, and on other machines it is "
            "a program for RISC-V. Use backend onnx, or backend maixcam with a connected MaixCAM"
        ) from error
    return maix


def check_thread() -> None:
    """Check that `maix` is imported already, or can be imported on this thread.

    Raises:
        BackendError: this is not the main thread; importing `maix` sets signal handlers.
    """
    if "maix" not in sys.modules and threading.current_thread() is not threading.main_thread():
        raise BackendError(
            "MaixPy (module maix) can be imported on the main thread only: open the backend or the "
            "camera there (other threads can use it then), or choose backend onnx"
        )


def words_of(error: BaseException) -> str:
    """Return an error's message in one line; MaixPy's begin with a colon and end the line."""
    return " ".join(str(error).split()).removeprefix(": ")


@contextmanager
def _same_signal_handlers() -> Iterator[None]:
    """Restore all signal handlers at the end: `maix` replaces SIGINT, SIGILL and SIGABRT.

    Python's table of handlers lacks those that were set in C, such as rclpy's, and `signal.signal`
    would replace them. Therefore both are restored: the table, then the system's handlers.
    """
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    in_python = {number: signal.getsignal(number) for number in numbers}
    in_system = {number: _system_handler(number) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            handler = in_python[number]
            if handler is not None and handler is not signal.getsignal(number):
                signal.signal(number, handler)
            _set_system_handler(number, in_system[number])


def _system_handler(number: int) -> bytes:
    """Return the system's `struct sigaction` for a signal."""
    handler = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _libc().sigaction(number, None, handler)
    return handler.raw


def _set_system_handler(number: int, handler: bytes) -> None:
    _libc().sigaction(number, handler, None)


def _libc() -> Any:
    return cast(Any, ctypes.CDLL(None))
