"""Limits on the browser view's connections, and on log lines caused by clients without the token.

A stranger is a connection without a session. When all places of strangers are taken, a new one
replaces an old one, so that open connections cannot lock out other clients.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application

from maix_facemesh_ros.wording import counted

#: Connections of each kind at the same time, and how many of the process's file descriptors they
#: may take at most, where its limit is a low one. Tornado accepts 128 connections before it reads
#: from any of them, so there are more places than that for strangers.
MOST_STRANGERS = 256
MOST_SESSIONS = 64
STRANGERS_SHARE = 1 / 4
SESSIONS_SHARE = 1 / 16

#: Descriptors of a process on Windows, which has no limit of its own: Linux's usual one.
WINDOWS_DESCRIPTORS = 1024

#: Maximum seconds for a request to arrive, and of idle time between two requests.
REQUEST_TIMEOUT = 10.0

#: Bytes of a request's header lines. Cookies of other servers on this host are part of them.
LARGEST_HEADER = 16384

#: Seconds between two lines of one logger, and the largest number of characters of a line.
LINE_INTERVAL = 30.0
LONGEST_LINE = 300


class Connections:
    """Open connections of one kind, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # From the oldest to the newest.
        self._addresses: dict[IOStream, str] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._addresses)

    def enter(self, stream: IOStream, address: str) -> None:
        """Count a connection in; without a free place, close the oldest of the busiest address."""
        if len(self._addresses) >= self.limit:
            busiest = max(self._counts, key=lambda each: self._counts[each])
            oldest = next(each for each, name in self._addresses.items() if name == busiest)
            self.leave(oldest)
            oldest.close()
        self._addresses[stream] = address
        self._counts[address] += 1

    def leave(self, stream: IOStream) -> None:
        """Count a connection out, if it is one of these."""
        address = self._addresses.pop(stream, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]


class LimitedHTTPServer(HTTPServer):
    """Tornado's server, with limits on connections and on the duration of a request."""

    strangers: Connections
    sessions: Connections
    #: Connections of browsers that receive frames.
    browsers: Connections

    def initialize(self, application: Application, largest_body: int) -> None:  # type: ignore[override]
        """Prepare to serve an application; Tornado calls this in the place of `__init__`.

        Args:
            application: answers the requests.
            largest_body: bytes of a request's body at most.
        """
        super().initialize(
            application,
            idle_connection_timeout=REQUEST_TIMEOUT,
            body_timeout=REQUEST_TIMEOUT,
            max_header_size=LARGEST_HEADER,
            max_body_size=largest_body,
        )
        descriptors = _most_descriptors()
        self.strangers = Connections(min(MOST_STRANGERS, int(descriptors * STRANGERS_SHARE)))
        most_sessions = max(1, min(MOST_SESSIONS, int(descriptors * SESSIONS_SHARE)))
        self.sessions = Connections(most_sessions)
        self.browsers = Connections(most_sessions)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Count a new connection as a stranger."""
        self.strangers.enter(stream, address[0])
        super().handle_stream(stream, address)

    def has_shown_session(self, stream: IOStream, address: str) -> None:
        """Move a connection to those with a session, which are not replaced by others."""
        self.strangers.leave(stream)
        self.sessions.leave(stream)
        self.sessions.enter(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """Count out a connection that has ended, or has become a WebSocket."""
        stream = server_conn.stream
        self.strangers.leave(stream)
        self.sessions.leave(stream)
        super().on_close(server_conn)


class RepeatedLines(logging.Filter):
    """Lets one line of a logger through in `LINE_INTERVAL`, shortened, with the count of others."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = -LINE_INTERVAL
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._said_at < LINE_INTERVAL:
            self._dropped += 1
            return False
        text = record.getMessage().encode("unicode_escape").decode("ascii")[:LONGEST_LINE]
        others = (
            f" ({counted(self._dropped, 'more line')} before this one)" if self._dropped else ""
        )
        record.msg, record.args = f"{text}{others}", ()
        self._said_at, self._dropped = now, 0
        return True


def limit_log_lines() -> None:
    """Limit what Tornado logs of requests; calling it again changes nothing."""
    for name in ("tornado.general", "tornado.application"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, RepeatedLines) for each in logger.filters):
            logger.addFilter(RepeatedLines())


def _most_descriptors() -> int:
    """Return how many files and connections this process may have open."""
    try:
        import resource  # not on Windows
    except ImportError:
        return WINDOWS_DESCRIPTORS
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
