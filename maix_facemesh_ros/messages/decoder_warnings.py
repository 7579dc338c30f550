"""Limits the warnings that libjpeg and libpng write to standard error, one for each damaged image.

A camera with a bad cable, or a stranger on the network, would fill a log with 100 kB a minute.
OpenCV has no option for these lines. Therefore a program diverts its standard error into memory
while an image is decoded, and then writes the content: of the decoder's warnings one in `INTERVAL`,
the lines of other threads unchanged.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds between two lines.
INTERVAL = 60.0

#: Bytes after which the memory is used again from its start.
MOST_MEMORY = 1 << 20

#: The warnings of libjpeg (jerror.h: JWRN_*) and libpng (pngerror.c).
_WARNING = re.compile(
    rb"(Corrupt JPEG data: |Premature end of JPEG file|Invalid SOS parameters for sequential JPEG|"
    rb"Inconsistent progression sequence |Unknown Adobe color transform code |"
    rb"Warning: unknown JFIF revision number |libpng (warning|error): )[ -~]*\n"
)
_STANDARD_ERROR = 2


class _Diversion:
    """Standard error as memory while at least one thread decodes."""

    def __init__(self) -> None:
        import fcntl  # not on Windows

        self._lock = threading.Lock()
        self._memory = os.memfd_create("decoder_warnings")
        # Only so do two threads that write at once not overwrite each other.
        fcntl.fcntl(self._memory, fcntl.F_SETFL, os.O_APPEND)
        self._terminal = os.dup(_STANDARD_ERROR)
        self._decoding = 0
        self._next_line = 0.0
        self._left_out = 0
        self._is_closed = False
        #: Bytes of the memory that have been read.
        self._read = 0

    def begin(self) -> None:
        """Divert, if no other thread has."""
        with self._lock:
            if not self._decoding and not self._is_closed:
                os.dup2(self._memory, _STANDARD_ERROR)
            self._decoding += 1

    def end(self) -> None:
        """Restore, if no other thread decodes, and write what came."""
        with self._lock:
            self._decoding -= 1
            if not self._decoding and not self._is_closed:
                self._restore()

    def close(self) -> None:
        """Restore for good; a thread may still be decoding."""
        with self._lock:
            self._restore()
            self._is_closed = True
            os.close(self._memory)
            os.close(self._terminal)

    def _restore(self) -> None:
        os.dup2(self._terminal, _STANDARD_ERROR)
        end = os.fstat(self._memory).st_size
        # What a thread is still writing there at this moment is read the next time.
        written = os.pread(self._memory, end - self._read, self._read)
        self._read = end
        if end > MOST_MEMORY:
            os.ftruncate(self._memory, 0)
            self._read = 0
        if written:
            self._write(written)

    def _write(self, written: bytes) -> None:
        warnings = [match.group() for match in _WARNING.finditer(written)]
        others = _WARNING.sub(b"", written)
        self._left_out += len(warnings)
        if warnings and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + INTERVAL
            more = self._left_out - 1
            since = f" ({more} more of such lines were left out)" if more else ""
            others += f"an image is damaged: {warnings[-1].decode().strip()}{since}\n".encode()
            self._left_out = 0
        if others:
            os.write(self._terminal, others)


_diversion: _Diversion | None = None


def limit() -> None:
    """Limit the decoders' warnings in this process, until `release`.

    For programs, not for a library's import: a child process that another thread starts while an
    image is decoded would keep the diverted standard error.
    """
    global _diversion
    if _diversion is None and sys.platform == "linux":
        _diversion = _Diversion()


def release() -> None:
    """Restore standard error, also while a thread decodes."""
    global _diversion
    if _diversion is not None:
        _diversion.close()
    _diversion = None


@contextmanager
def limited() -> Iterator[None]:
    """Decode in this block; without `limit`, nothing is diverted."""
    diversion = _diversion
    if diversion is None:
        yield
        return
    diversion.begin()
    try:
        yield
    finally:
        diversion.end()
