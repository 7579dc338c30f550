"""Strangers at the browser view's server: who has the token or a session is never behind them."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tornado.httpclient import HTTPRequest
from tornado.iostream import IOStream
from tornado.websocket import websocket_connect

from maix_facemesh_ros.browser import connections, server
from maix_facemesh_ros.browser.access import Access, AccessError, check_token
from maix_facemesh_ros.browser.connections import Connections, RepeatedLines
from maix_facemesh_ros.browser.server import FrameServer
from maix_facemesh_ros.user_files import exposure_of
from strangers import ADDRESSES, Flood, many_descriptors

PATIENCE = 30.0

TOKEN = "a token of this test"

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def guarded() -> Iterator[FrameServer]:
    frame_server = FrameServer(Access(TOKEN), lambda _: None)
    frame_server.start("127.0.0.1", 0)
    yield frame_server
    frame_server.close()


def give(port: int, token: str, address: str = "127.0.0.1") -> http.client.HTTPResponse:
    """Send the login form from an address, and return the answer."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=PATIENCE, source_address=(address, 0)
    )
    connection.request("POST", "/login", urlencode({"token": token}), FORM)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def send_wrong_token(port: int) -> socket.socket:
    """Send a wrong token and do not wait for the answer."""
    stranger = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    body = urlencode({"token": "wrong"})
    stranger.sendall(
        f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['Content-Type']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return stranger


def test_a_right_token_does_not_wait_for_wrong_ones(
    guarded: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WRONG_TOKEN_WAIT", 10 * PATIENCE)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(send_wrong_token(guarded.port))
        assert give(guarded.port, TOKEN).headers["Location"] == "./"
        # A few wrong ones wait, and the others have been refused at once.
        assert sum(guarded.waiting.values()) == server.WAITING_PER_ADDRESS
        assert give(guarded.port, "wrong").status == 429
        # Another address has places of its own.
        end = time.monotonic() + PATIENCE
        with pytest.raises(TimeoutError):
            connection = http.client.HTTPConnection(
                "127.0.0.1", guarded.port, timeout=0.3, source_address=("127.0.0.2", 0)
            )
            connection.request("POST", "/login", urlencode({"token": "wrong"}), FORM)
            connection.getresponse()
        connection.close()
    # Who has left waits for nothing.
    while guarded.waiting:
        assert time.monotonic() < end, dict(guarded.waiting)
        time.sleep(0.01)


def test_waiting_answers_are_bounded_in_all(
    guarded: FrameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WRONG_TOKEN_WAIT", 10 * PATIENCE)
    monkeypatch.setattr(server, "WAITING", 2)
    with send_wrong_token(guarded.port), send_wrong_token(guarded.port):
        end = time.monotonic() + PATIENCE
        while sum(guarded.waiting.values()) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert give(guarded.port, "wrong", "127.0.0.9").status == 429
        assert give(guarded.port, TOKEN, "127.0.0.9").status == 303


def test_half_open_requests_keep_nobody_out(
    guarded: FrameServer, capfd: pytest.CaptureFixture[str]
) -> None:
    session = give(guarded.port, TOKEN).headers["Set-Cookie"].split(";")[0]

    async def look() -> None:
        """Hold a browser's connection through the attack."""
        request = HTTPRequest(f"ws://127.0.0.1:{guarded.port}/frames", headers={"Cookie": session})
        connection = await websocket_connect(request)
        assert await connection.read_message() == "{}"
        with Flood(
            guarded.port, ["127.0.0.1"], hold=1000, rate=500, greeting=b"GET / HTTP/1.1\r\nHos"
        ) as flood:
            await asyncio.to_thread(flood.wait_until_opened, 1000)
            for number in range(10):
                response = await asyncio.to_thread(give, guarded.port, TOKEN)
                assert response.headers["Location"] == "./", number
            guarded.tell({"still": "here"})
            message = await asyncio.wait_for(connection.read_message(), PATIENCE)
            assert message == '{"still": "here"}'
            assert len(guarded._http.strangers) <= connections.MOST_STRANGERS
        connection.close()

    with many_descriptors(4096):
        asyncio.run(look())
    written = capfd.readouterr()
    assert len(written.err + written.out) < 2000


def test_other_addresses_do_not_push_a_stranger_out(guarded: FrameServer) -> None:
    """Who connects slowly loses its place only to connections of its own address."""
    with many_descriptors(4096):
        slow = socket.create_connection(
            ("127.0.0.1", guarded.port), source_address=("127.0.0.9", 0), timeout=PATIENCE
        )
        with Flood(guarded.port, ADDRESSES, hold=1000, rate=5000) as flood:
            flood.wait_until_opened(600)
            slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert slow.recv(15) == b"HTTP/1.1 200 OK"
        slow.close()


def test_a_request_that_never_ends_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)
    frame_server = FrameServer(Access(TOKEN), lambda _: None)
    frame_server.start("127.0.0.1", 0)
    stranger = socket.create_connection(("127.0.0.1", frame_server.port), timeout=PATIENCE)
    stranger.sendall(b"GET / HTTP/1.1\r\n")
    with suppress(OSError):
        for _ in range(1000):
            stranger.sendall(b"a: b\r\n")
            time.sleep(0.02)
        pytest.fail("the server still reads")
    stranger.close()
    frame_server.close()


def test_no_request_writes_more_than_a_line(
    guarded: FrameServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for name in ("tornado.general", "tornado.application"):
        for each in logging.getLogger(name).filters:
            if isinstance(each, RepeatedLines):
                each.__init__()  # type: ignore[misc]  # As if nothing had been said lately.
    kinds = (
        b"\x00" * 50 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        b"boundary=a\r\nContent-Length: 4\r\n\r\nabcd",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"\x1b[31m;" * 100 + b"\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    for number in range(400):
        with socket.create_connection(("127.0.0.1", guarded.port), timeout=PATIENCE) as stranger:
            stranger.sendall(kinds[number % len(kinds)])
            with suppress(OSError):
                stranger.recv(100)
    assert give(guarded.port, TOKEN).status == 303
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 2, lines
    written = capfd.readouterr()
    assert len(written.err + written.out) < 2000
    assert "\x1b" not in written.err + "".join(lines)


def test_the_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = RepeatedLines()

    def said(text: str) -> str | None:
        record = logging.LogRecord("a", logging.WARNING, "", 0, "%s", (text,), None)
        return record.getMessage() if lines.filter(record) else None

    assert said("first\n\x1b") == "first\\n\\x1b"
    assert said("second") is None
    assert said("third") is None
    now += connections.LINE_INTERVAL
    assert said("x" * 1000) == "x" * connections.LONGEST_LINE + " (2 more lines before this one)"


class Stream(IOStream):
    """Stands for a connection: it only knows whether it was closed."""

    def __init__(self) -> None:
        self.was_closed = False

    def close(self, *_: object) -> None:
        self.was_closed = True


def test_a_newcomer_takes_the_place_of_the_oldest_of_the_busiest_address() -> None:
    places = Connections(4)
    quiet, first, second, third, fourth = (Stream() for _ in range(5))
    places.enter(quiet, "1")
    for stream in (first, second, third, fourth):
        places.enter(stream, "2")
    assert [stream.was_closed for stream in (quiet, first, second, third, fourth)] == [
        False, True, False, False, False,
    ]  # fmt: skip
    places.leave(first)
    places.leave(second)
    assert len(places) == 3
    places.enter(Stream(), "3")
    assert not quiet.was_closed
    assert len(places) == 4


def test_two_views_on_one_host_keep_their_own_sessions(guarded: FrameServer) -> None:
    other = FrameServer(Access("another token"), lambda _: None)
    other.start("127.0.0.1", 0)
    names = {
        give(each.port, token).headers["Set-Cookie"].split("=")[0]
        for each, token in ((guarded, TOKEN), (other, "another token"))
    }
    other.close()
    assert names == {f"facemesh_view_{guarded.port}", f"facemesh_view_{other.port}"}


def test_short_tokens_and_files_of_others_are_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="has 7 characters and other machines can try it"):
        check_token("1234567")
    check_token("12345678")
    file = tmp_path / "token"
    file.write_text("a token")
    for mode, words in ((0o644, "can read "), (0o622, "can change "), (0o666, "read and change")):
        file.chmod(mode)
        assert words in exposure_of(file)
    file.chmod(0o600)
    assert exposure_of(file) == ""
