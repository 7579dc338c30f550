"""Strangers that attack a server over loopback: bounded in number and time, and never elsewhere."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType

#: Addresses of this machine that connections can come from; each is a stranger of its own.
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")


class Flood:
    """Opens connections without end, from several addresses in turn, and holds the newest open."""

    def __init__(
        self,
        port: int,
        sources: Sequence[str],
        *,
        hold: int,
        rate: float,
        greeting: bytes = b"",
    ) -> None:
        """Prepare it; it runs as a context manager.

        Args:
            port: of the server, on 127.0.0.1.
            sources: addresses of 127.0.0.0/8 that the connections come from.
            hold: connections held open at most.
            rate: connections a second at most.
            greeting: sent on each connection.
        """
        self.opened = 0
        self._port = port
        self._sources = itertools.cycle(sources)
        self._held: deque[socket.socket] = deque()
        self._hold = hold
        self._rate = rate
        self._greeting = greeting
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood", daemon=True)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        for held in self._held:
            held.close()

    def wait_until_opened(self, count: int, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while self.opened < count:
            assert time.monotonic() < end, f"{self.opened} of {count} connections in {seconds} s"
            time.sleep(0.01)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - 0.1) + 1 / self._rate
            with suppress(OSError):
                stranger = socket.create_connection(
                    ("127.0.0.1", self._port), timeout=5, source_address=(next(self._sources), 0)
                )
                self._held.append(stranger)
                self.opened += 1
                stranger.sendall(self._greeting)
            while len(self._held) > self._hold:
                self._held.popleft().close()


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Let this process open this number of files, both ends of the connections."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
