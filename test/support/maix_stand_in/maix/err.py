"""Error codes, and the errors that the other modules raise."""

from __future__ import annotations

from ._native import NativeEnum


class Err(NativeEnum):
    """What functions return that do not raise."""

    ERR_NONE = 0
    ERR_ARGS = 1
    ERR_NO_MEM = 2
    ERR_NOT_IMPL = 3
    ERR_NOT_READY = 4
    ERR_NOT_INIT = 5
    ERR_NOT_OPEN = 6
    ERR_NOT_PERMIT = 7
    ERR_REOPEN = 8
    ERR_BUSY = 9
    ERR_READ = 10
    ERR_WRITE = 11
    ERR_TIMEOUT = 12
    ERR_RUNTIME = 13
    ERR_IO = 14
    ERR_NOT_FOUND = 15


class Exception:  # noqa: A001  MaixPy's name
    """No exception at all: `except err.Exception` is a TypeError, as with the real one."""


_TEXTS = {
    Err.ERR_NONE: "",
    Err.ERR_ARGS: "Invalid arguments",
    Err.ERR_NOT_IMPL: "Not implemented",
    Err.ERR_NOT_FOUND: "Not found",
}


def failure(message: str = "", code: Err = Err.ERR_NONE) -> RuntimeError:
    """Return the error as the real one words it: it arrives in Python as a RuntimeError."""
    return RuntimeError(_TEXTS[code] + (f": {message}\n" if message else ""))
