"""Serves the page, and sends each browser the latest frame when it requests one.

No frame waits in a queue: a browser asks for the next one when it has drawn the last, and gets the
one that is the latest then. A frame is packed when the first browser gets it, and once for all.

HTTP and WebSocket are Tornado's, in a separate thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.iostream import IOStream
from tornado.log import app_log
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from maix_facemesh_ros.browser.access import Access
from maix_facemesh_ros.browser.connections import LimitedHTTPServer, limit_log_lines
from maix_facemesh_ros.browser.frame_packet import mesh_facts
from maix_facemesh_ros.errors import FaceMeshError

#: Where the files really are: Tornado serves no symbolic link that leads out of its folder, and
#: `colcon build --symlink-install` makes one of each file.
PAGE = Path(__file__).resolve().parent / "page"

#: Message of a browser that has drawn a frame.
READY = "ready"

#: Seconds until the answer to a wrong token, and how many such answers may wait, for one address
#: and in all; others are answered at once. A right token never waits.
WRONG_TOKEN_WAIT = 1.0
WAITING_PER_ADDRESS = 4
WAITING = 16

#: Seconds between two checks of a browser's connection.
PING_INTERVAL = 10.0

#: Seconds that `close` waits for the server's thread, which may be decoding an image.
CLOSE_TIMEOUT = 1.0

#: Bytes of a request, and of a browser's message: more than any of ours has.
LARGEST_REQUEST = 4096

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ServerError(FaceMeshError, RuntimeError):
    """The server cannot listen; the message gives the reason."""


class FrameServer:
    """The server in its thread; its methods may be called from any other."""

    def __init__(self, access: Access, audience_changed: Callable[[int], None]) -> None:
        """Make it, without listening yet.

        Args:
            access: the access control.
            audience_changed: called on the server's thread with the number of browsers.
        """
        self.access = access
        #: Frames a second at most, for each browser.
        self.rate = 30.0
        self.port = 0
        #: Answers to wrong tokens that wait, by address.
        self.waiting: Counter[str] = Counter()
        self._audience_changed = audience_changed
        self._browsers: set[FrameSocket] = set()
        self._latest: _Frame | None = None
        self._state = "{}"
        self._wakes = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="browser view", daemon=True)

    def start(self, address: str, port: int) -> None:
        """Start to listen and serve; `port` is then the port.

        Raises:
            ServerError: the address is not this machine's, or the port is taken.
        """
        try:
            sockets = bind_sockets(port, address)
        except OSError as error:
            self._loop.close()
            raise ServerError(
                f"cannot listen at address {address!r}, port {port}: {error.strerror or error}"
            ) from error
        self.port = sockets[0].getsockname()[1]
        limit_log_lines()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(sockets), self._loop).result()

    def show(self, pack: Callable[[], bytes]) -> None:
        """Make this the latest frame.

        Args:
            pack: gives its bytes; called at most once, and only if a browser is ready for it.
        """
        self._latest = _Frame(pack)
        # One call at a time: where the loop is busy, frames replace each other and calls add up to
        # nothing.
        if not self._wakes:
            self._wakes = True
            self._loop.call_soon_threadsafe(self._send_to_all)

    def tell(self, state: dict[str, Any]) -> None:
        """Send every browser the state of the topics."""
        self._loop.call_soon_threadsafe(self._tell_all, json.dumps(state))

    def close(self) -> None:
        """Disconnect all browsers and stop."""
        if self._thread.is_alive():
            leaving = asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
            with contextlib.suppress(concurrent.futures.TimeoutError):
                leaving.result(CLOSE_TIMEOUT)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_TIMEOUT / 2)
        if not self.blocks:
            self._loop.close()

    @property
    def blocks(self) -> bool:
        """Whether, after `close`, an image is still being decoded."""
        return self._thread.is_alive()

    @property
    def cookie(self) -> str:
        """Where a browser keeps its session; browsers share cookies between ports of one host."""
        return f"facemesh_view_{self.port}"

    # ---- On the server's thread ------------------------------------------------------------------

    def has_shown_session(self, connection: IOStream, address: str) -> None:
        """Reserve a place for a connection whose browser has given the token."""
        self._http.has_shown_session(connection, address)

    def enter(self, browser: FrameSocket) -> None:
        """Count a browser in."""
        self._http.browsers.enter(browser.accepted_as, browser.address)
        self._browsers.add(browser)
        browser.tell(self._state)
        self._audience_changed(len(self._browsers))

    def leave(self, browser: FrameSocket) -> None:
        """Remove a browser; with the last one also the frame, which would be old for the next."""
        if browser in self._browsers:
            self._browsers.remove(browser)
            self._http.browsers.leave(browser.accepted_as)
            if not self._browsers:
                self._latest, self._state = None, "{}"
            self._audience_changed(len(self._browsers))

    def send_latest(self, browser: FrameSocket) -> None:
        """Offer the latest frame to a browser."""
        if self._latest is not None:
            browser.offer(self._latest)

    def _send_to_all(self) -> None:
        self._wakes = False
        for browser in tuple(self._browsers):
            self.send_latest(browser)

    def _tell_all(self, state: str) -> None:
        if self._browsers:
            self._state = state
        for browser in tuple(self._browsers):
            browser.tell(state)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        # asyncio's own handler writes a traceback each time, also of what strangers bring about.
        self._loop.set_exception_handler(
            lambda _loop, context: app_log.error(
                "%s: %r", context["message"], context.get("exception")
            )
        )
        self._loop.run_forever()

    async def _serve(self, sockets: list[Any]) -> None:
        shared = {"server": self}
        application = Application(
            [
                (r"/", _IndexHandler, shared),
                (r"/login", _LoginHandler, shared),
                (r"/mesh\.json", _MeshHandler, shared),
                (r"/frames", FrameSocket, shared),
                (r"/(.+)", _PageHandler, {**shared, "path": str(PAGE)}),
            ],
            log_function=lambda _handler: None,
            websocket_ping_interval=PING_INTERVAL,
            websocket_max_message_size=LARGEST_REQUEST,
        )
        self._http = LimitedHTTPServer(application, LARGEST_REQUEST)
        self._http.add_sockets(sockets)

    async def _stop(self) -> None:
        self._http.stop()
        for browser in tuple(self._browsers):
            browser.close(1001, "facemesh_view stops")
        await self._http.close_all_connections()


class _Frame:
    """A frame that is packed when it is wanted."""

    def __init__(self, pack: Callable[[], bytes]) -> None:
        self._pack = pack
        self._packet: bytes | None = None

    def packet(self) -> bytes:
        """Return its bytes; empty if it turned out that it cannot be shown."""
        if self._packet is None:
            self._packet = self._pack()
        return self._packet


class _Guarded(RequestHandler):
    """Common parts of all responses: headers, and a check of the request's Host."""

    def initialize(self, server: FrameServer) -> None:
        self.server = server
        #: Address of the client, and its connection.
        self.address = str(self.request.remote_ip)
        self.accepted_as = self.request.connection.stream  # type: ignore[union-attr]

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        host = self.request.host
        if not self.server.access.knows_host(host):
            self.set_status(403)
            self.finish(
                f"{host[:100]} is not a name of this machine: if it should be, add it to "
                "facemesh_view's parameter host_names.\n"
            )
        elif self.server.access.needs_token and self.has_session():
            self.server.has_shown_session(self.accepted_as, self.address)

    def has_session(self) -> bool:
        """Whether the browser has given the token, or needs none."""
        return self.server.access.is_session(self.get_cookie(self.server.cookie))

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(f"{status_code} {self._reason}\n")


class _IndexHandler(_Guarded):
    """The page, or the way in."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write((PAGE / ("index.html" if self.has_session() else "login.html")).read_bytes())


class _LoginHandler(_Guarded):
    """Receives the token."""

    def initialize(self, server: FrameServer) -> None:
        super().initialize(server)
        self._is_gone = asyncio.Event()

    async def post(self) -> None:
        """Let a browser in that knows the token; the answer to a wrong one is late."""
        server = self.server
        if server.access.is_token(self.get_body_argument("token", "")):
            self.set_cookie(
                server.cookie, server.access.session(), httponly=True, samesite="Strict", path="/"
            )
            self.redirect("./", status=303)
            return
        waiting = server.waiting
        if waiting[self.address] >= WAITING_PER_ADDRESS or waiting.total() >= WAITING:
            self.set_status(429)
            self.finish("Too many wrong tokens at once: try again in a second.\n")
            return
        waiting[self.address] += 1
        try:
            await asyncio.wait_for(self._is_gone.wait(), WRONG_TOKEN_WAIT)
        except asyncio.TimeoutError:
            self.redirect("./#wrong", status=303)
        finally:
            waiting[self.address] -= 1
            if not waiting[self.address]:
                del waiting[self.address]

    def on_connection_close(self) -> None:
        """End the wait: the client has disconnected."""
        self._is_gone.set()


class _MeshHandler(_Guarded):
    """The constant data of all frames."""

    def get(self) -> None:
        if not self.has_session():
            raise HTTPError(401)
        self.write(mesh_facts())


class _PageHandler(_Guarded, StaticFileHandler):
    """The page's files."""

    def initialize(self, server: FrameServer, path: str) -> None:  # type: ignore[override]
        _Guarded.initialize(self, server)
        StaticFileHandler.initialize(self, path)


class FrameSocket(_Guarded, WebSocketHandler):
    """One browser.

    Tornado refuses pages of another origin than the request's Host, whose name `prepare` has looked
    at.
    """

    def initialize(self, server: FrameServer) -> None:
        """Begin as one that has asked for nothing yet."""
        super().initialize(server)
        self._is_ready = False
        self._sent: _Frame | None = None
        # Number of frames that the rate allows now.
        self._credit = 1.0
        self._credit_at = time.monotonic()
        self._alarm: asyncio.TimerHandle | None = None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the connection if access is allowed."""
        if not self.has_session():
            raise HTTPError(401)
        await super().get(*args, **kwargs)

    def open(self, *_: str, **__: str) -> None:
        """Come in."""
        self.set_nodelay(True)
        self.server.enter(self)

    def on_message(self, message: str | bytes) -> None:
        """Record that the browser has drawn the last frame."""
        if message == READY:
            self._is_ready = True
            self.server.send_latest(self)

    def on_close(self) -> None:
        """Leave."""
        self._is_ready = False
        self.server.leave(self)

    def offer(self, frame: _Frame) -> None:
        """Send a new frame, as soon as the rate allows, if the browser has requested one."""
        if not self._is_ready or frame is self._sent or self._alarm is not None:
            return
        wait = self._time_to_wait(self.server.rate)
        if wait > 0:
            self._alarm = asyncio.get_running_loop().call_later(wait, self._wake)
            return
        self._sent = frame
        packet = frame.packet()
        if packet:
            self._is_ready = False
            self._credit -= 1.0
            self._write(packet)

    def _wake(self) -> None:
        self._alarm = None
        self.server.send_latest(self)

    def _time_to_wait(self, rate: float) -> float:
        """Return the seconds until it may get a frame.

        It may be early by one frame's time, so that a camera whose images come now a little early
        and now a little late keeps its rate.
        """
        now = time.monotonic()
        self._credit = min(2.0, self._credit + (now - self._credit_at) * rate)
        self._credit_at = now
        return max(0.0, 1.0 - self._credit) / rate

    def tell(self, state: str) -> None:
        """Send the state of the topics."""
        self._write(state)

    def _write(self, message: str | bytes) -> None:
        try:
            future = self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            return
        # A connection that breaks while it is written to is noticed by on_close.
        future.add_done_callback(lambda done: done.exception())
